"""Power loss: what a run of hops writes and syncs is recorded, and the disk is put together as it would be after a cut."""
