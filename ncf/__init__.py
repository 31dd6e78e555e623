"""Neural Collaborative Filtering (He et al., WWW 2017): the library behind the components."""

from importlib.metadata import version

__version__ = version("ncf")
