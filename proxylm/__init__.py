"""symbols -> batches -> loss: one model trained on raw bytes and on a compressed view of the same documents."""
