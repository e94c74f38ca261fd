"""A person looks at what the labeler doubts: the queue, the round trip to an annotation tool and back, its formats."""
