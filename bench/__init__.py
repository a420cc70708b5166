"""The benchmarks: speed and memory, as ratios against something measured in the same run."""
