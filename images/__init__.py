"""The images of the components, and how they are built."""
