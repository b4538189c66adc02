"""Sealed segments, brought into a bucket: `booktape record --ship` and `booktape ship`.

    bucket      objects that appear whole, are never overwritten, and are verified
    receipts    notes in the archive: which segments are in which bucket
    backlog     the segments that are sealed and not in the bucket yet
    shipper     brings them there, oldest first; removes old ones from the archive where that is wanted

A bucket holds the files of an archive under the same paths. Of each segment the manifest comes last, so a
reader that reads only what manifests name never sees a part of a segment. Needs `pip install 'booktape[bucket]'`.
"""
