//! Nobody bends what the history says: forged reports, leaked footer addresses.
