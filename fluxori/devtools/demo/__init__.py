"""A database full of believable data, a walk through the main job, and a server to look around in."""
