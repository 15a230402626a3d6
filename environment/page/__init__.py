"""The page on which a run is watched: a process of its own that reads the run folder, and talks with the swarm over pipes."""
