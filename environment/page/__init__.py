"""The page on which a run is watched: a process that reads the run folder, and talks with the swarm over pipes."""
