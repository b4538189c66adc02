"""Copies sealed segments to a bucket: `booktape record --ship` and `booktape ship`.

A bucket holds the files of an archive under the same paths. Each segment's manifest comes last, so a
reader that reads only what manifests name never sees part of a segment. Needs `pip install 'booktape[bucket]'`.
"""
