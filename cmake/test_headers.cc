// Nothing of its own: a target needs a source for its precompiled headers.
