"""What the API does besides running pipelines, a file for each part of it. A case is a function whose name is a fact."""
