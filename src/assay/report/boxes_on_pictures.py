"""Boxes, masks and pixel classes on pictures, for pages. The drawing is the ground floor's: ``assay.drawing``."""

from __future__ import annotations

from assay.drawing import class_colour, draw_objects, draw_pixels, letter_size, line_width

__all__ = ["class_colour", "draw_objects", "draw_pixels", "letter_size", "line_width"]
