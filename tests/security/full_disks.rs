//! Strangers cannot fill the disk, nor the operator's mailbox.
