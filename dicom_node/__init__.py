"""chexnode: marks abnormal regions on the chest X-rays that a PACS routes to it, and writes the marks back."""

__version__ = "0.1.0"
