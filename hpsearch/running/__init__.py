"""The loop of a study, and what it needs: judge, ask, train, store, tell."""
