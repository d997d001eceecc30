"""spooflab: physically simulated face presentation attacks, capture devices and generalisation studies."""

__version__ = "0.1.0"
