//! Nobody learns by guessing who an alias stands for: a forged `From` is answered alike, right or wrong.
