"""Other ways to search the same space on the same data, each in processes of its own.

`benchmarks.peers.launch` starts them and reads what they have recorded. The others are what these processes
run; they know nothing of hpsearch, and only they import ray and smac.
"""
