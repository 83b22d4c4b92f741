"""Pack file to the embeddings of one shard: the GPU job."""
