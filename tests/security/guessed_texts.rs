//! Nobody learns from what is replaced or refused: a guess in a text, a quote or a file comes back as written.
