//! A machine's mail opens no door past an opt-out, and urgency is counted.
