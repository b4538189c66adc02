"""Sealed segments, brought into a bucket: `booktape record --ship` and `booktape ship`.

A bucket holds the files of an archive under the same paths. Of each segment the manifest comes last, so a
reader that reads only what manifests name never sees a part of a segment. Needs `pip install 'booktape[bucket]'`.
"""
