"""What can go wrong, in one tree.

    CifarEdgeError          catch this one to catch all
     +-- UsageError         the request itself is wrong: exit code 2
     +-- DataError          CIFAR-10 is missing, damaged or cannot be fetched; or your photos are too few
     +-- ImageError         a photo cannot be read
     +-- ModelError         a model file is missing, damaged or of another kind
     +-- ExportError        a model cannot be converted, or loses too much
     +-- RegressionError    a benchmark's figure is worse than it was: exit code 4
     +-- ResultsError       rows cannot be written; those so far are kept
     +-- StorageError       a bucket or server cannot be reached, or refuses
     +-- UnreadablePhotos   the run is done, but some rows are errors: exit code 3
     +-- Interrupted        stopped by Ctrl-C: exit code 130

Every message is one line that names the file and says what to do:

    try:
        model = EdgeModel("model.tflite")
    except CifarEdgeError as error:
        print(error)
"""

MOST_OF_A_LINE = 500  # characters


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, or the error's class name if it has none.

    A message may quote a whole file: it ends after `MOST_OF_A_LINE` characters.
    """
    return (str(error).splitlines() or [type(error).__name__])[0][:MOST_OF_A_LINE]


class CifarEdgeError(Exception):
    """Base class of every error this package raises on purpose."""

    exit_code = 1


class UsageError(CifarEdgeError):
    """The request itself is wrong: an unknown name, a missing path, options that exclude each other."""

    exit_code = 2


class DataError(CifarEdgeError):
    """CIFAR-10 is missing, damaged or cannot be fetched; or your own photos are too few, or have no room."""


class ImageError(CifarEdgeError):
    """A photo cannot be read."""


class ModelError(CifarEdgeError):
    """A model file is missing, damaged or of another kind than needed."""


class ExportError(CifarEdgeError):
    """A model cannot be converted to TFLite, or the result does not match the original."""


class RegressionError(CifarEdgeError):
    """A figure of a benchmark is worse than it was, by more than was allowed."""

    exit_code = 4


class ResultsError(CifarEdgeError):
    """Rows cannot be written, as on a full disk; the message says where those so far are kept."""


class StorageError(CifarEdgeError):
    """A bucket or server cannot be reached or refuses; everything written before is kept."""


class UnreadablePhotos(CifarEdgeError):  # noqa: N818 - the run itself is no error
    """The run is complete, but some photos could not be read; their rows say why."""

    exit_code = 3


class Interrupted(CifarEdgeError):  # noqa: N818 - an interruption is no error
    """Stopped by Ctrl-C; the message says what is kept and how to go on."""

    exit_code = 130
