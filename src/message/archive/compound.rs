//! Compound files (MS-CFB): old Office documents, encrypted new ones, Windows installers. Directory entries stand at multiples of 128 octets, in whichever
//! sector; all that look like one are read, whatever the allocation table says.

use super::{ENCRYPTED, MACROS, Search, work};

const ENTRY: usize = 128;
/// Class of the root entry of an installer: package, transform, patch (000C1084, 000C1082, 000C1086).
pub(super) const INSTALLER: &[u8] = &[0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];

pub(super) fn list(bytes: &[u8], search: &mut Search) {
    work::count(bytes.len() / 4);
    for entry in bytes.chunks_exact(ENTRY) {
        let (Some(name), Some([length, 0, kind @ (1 | 2 | 5), 0 | 1])) = (entry.get(..64), entry.get(64..68)) else {
            continue;
        };
        if *length < 4 || *length > 64 {
            continue;
        }
        // UTF-16, and all names that matter are ASCII.
        let name: Vec<u8> = name.iter().take(usize::from(*length) - 2).step_by(2).copied().collect();
        match name.as_slice() {
            b"EncryptedPackage" => search.kind(ENCRYPTED),
            // The project; in Excel with an ending.
            name if name.starts_with(b"_VBA_PROJECT") => search.kind(MACROS),
            b"Root Entry" if *kind == 5 && entry.get(82..96) == Some(INSTALLER) => search.kind("application/x-msi"),
            _ => {}
        }
    }
}
