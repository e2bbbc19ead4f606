"""Where the centre of a pixel is: the one number between files and memory."""

__all__ = ["PIXEL_CENTRE"]

#: Files hold COCO's pixel indices (the centre of the first pixel is 0); memory holds continuous pixels, in which a
#: image of width w spans [0, w]. Added when a file is read, subtracted when one is written, nowhere else.
PIXEL_CENTRE = 0.5
