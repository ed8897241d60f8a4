"""Everything a newcomer needs to watch the node work: synthetic radiographs, a small archive, a scenario."""
