"""A script that ends its process when it is imported, content."""

import sys

sys.exit(0)
