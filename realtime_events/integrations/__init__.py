"""Bridges to optional packages: one module for each extra, imported only by those who use it.

Each raises `MissingExtra`, which names the `pip install` to run, where its packages are not there.
"""
