"""Ratio, speed and loss of compressors, side by side.

Imports proxylm and compressors; nothing imports it.
"""
