"""A data set in the formats of others: WebDataset, image folder, Hugging Face Parquet."""
