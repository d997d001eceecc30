"""What faces are shown on: panels, paper and ink, and the banks that list them."""
