"""What the scripts that measure share: starting servers, loading them, and showing the figures. Standard library only."""
