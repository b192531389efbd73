//! What works and should not be so: settings that open a door to others, and such that never do
//! what they say ([`idle`](super::idle)). The daemon starts all the same, says so, and `check` says
//! so.
//!
//! Each is a warning and no problem, because honest operators are among those it hits, and only
//! they know: a metrics port inside a container's own network, a front of a hosting company with a
//! /12. Who attacks hears nothing of them: they go to the log and to the operator's terminal.
//!
//! Not here: what a daemon cannot work with (`check`), or what is in the store.

use super::check::Problems;
use super::{Config, Problem};
use crate::types::network::{Network, is_local};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What others may be let do with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// Nothing: it holds a secret.
    Secret,
    /// Read it.
    Public,
    /// Nothing, and its group neither: the store.
    Owner,
}

impl Config {
    /// Every warning. `file` is where this configuration was read, `store` the files of the store
    /// in `data_dir`.
    #[must_use]
    pub fn warnings(&self, file: &Path, store: &[&str]) -> Vec<Problem> {
        let mut warnings = Problems::default();
        if self.operator.is_none() {
            warnings.add(
                "operator",
                "is missing: mail to postmaster and abuse is refused, which RFC 5321 forbids",
                "For such mail, set operator to the address of the people who run this",
            );
        }
        for (n, shop) in self.marketplace.iter().enumerate() {
            if shop.contact.is_none() {
                warnings.add(
                    format!("marketplace[{n}].contact"),
                    "is missing: notices tell people to contact the marketplace, and not how",
                    "Set it to a mail address that people answer, or to a web address that begins with https://",
                );
            }
        }
        for (n, listener) in self.listener.iter().enumerate() {
            for (at, text) in listener.trusted_networks.iter().enumerate() {
                if text.parse::<Network>().is_ok_and(|network| network.is_wide()) {
                    warnings.add(
                        format!("listener[{n}].trusted_networks[{at}]"),
                        "is very wide: whoever writes from there is believed to be a front MTA",
                        "Name the addresses of the front MTAs alone",
                    );
                }
            }
        }
        if let Some(address) = self.metrics.address
            && !is_local(address.ip())
        {
            let what = "can be reached by others, who learn how much mail there is and what becomes of it";
            warnings.add("metrics.address", what, "Listen on 127.0.0.1, ::1 or an address of a private network");
        }
        self.warn_of_idle_settings(&mut warnings);
        self.warn_of_files(&mut warnings, file);
        let files = store.iter().map(|name| self.data_dir.join(name));
        for path in std::iter::once(self.data_dir.clone()).chain(files) {
            warn(&mut warnings, "data_dir", &path, Rights::Owner);
        }
        warnings.take()
    }

    fn warn_of_files(&self, warnings: &mut Problems, file: &Path) {
        let (tls, passwords) = (&self.tls, &self.delivery.credentials);
        let mut files = vec![("configuration".to_owned(), file, Rights::Secret)];
        let named = [
            ("tls.key", &tls.key, Rights::Secret),
            ("tls.certificate", &tls.certificate, Rights::Public),
            ("tls.extra_roots", &tls.extra_roots, Rights::Public),
            ("notices.directory", &self.notices.directory, Rights::Public),
        ];
        files.extend(
            named.iter().filter_map(|(place, path, rights)| Some(((*place).into(), path.as_deref()?, *rights))),
        );
        let keys = self.dkim.iter().enumerate();
        files.extend(keys.map(|(n, dkim)| (format!("dkim[{n}].key"), dkim.key.as_path(), Rights::Secret)));
        files.extend(passwords.iter().map(|(key, login)| {
            let place = format!("delivery.credentials.\"{key}\".password_file");
            (place, login.password_file.as_path(), Rights::Secret)
        }));
        let mut folders = BTreeSet::new();
        for (place, path, rights) in files {
            warn(warnings, &place, path, rights);
            // Where the name leads, too: who may write there puts another file in its place.
            let real = std::fs::canonicalize(path).unwrap_or_default();
            for folder in [path, &real].into_iter().filter_map(Path::parent).filter(|f| !f.as_os_str().is_empty()) {
                if folders.insert(PathBuf::from(folder)) {
                    warn_of_folder(warnings, &place, folder);
                }
            }
        }
    }
}

/// What cannot be looked at is told as a problem where it is needed. Devices and sockets have
/// rights of another meaning.
fn mode(path: &Path) -> Option<u32> {
    let found = std::fs::metadata(path).ok()?;
    (found.is_file() || found.is_dir()).then(|| found.mode() & 0o7777)
}

fn warn(warnings: &mut Problems, place: &str, path: &Path, rights: Rights) {
    let Some(mode) = mode(path) else { return };
    // A group is a way to hand a key to the daemon, not to have it changed.
    let (forbidden, remedy) = match rights {
        Rights::Secret => (0o026, "g-w,o-rwx"),
        Rights::Public => (0o022, "go-w"),
        Rights::Owner => (0o077, "go-rwx"),
    };
    let excess = mode & forbidden;
    if excess == 0 {
        return;
    }
    let what = match (excess & 0o022 != 0, excess & 0o055 != 0) {
        (true, true) => "read and written",
        (true, false) => "written",
        _ => "read",
    };
    let path = path.display();
    warnings.add(
        place,
        format!("{path} can be {what} by others (mode {mode:o})"),
        format!("Run: chmod {remedy} {path}"),
    );
}

/// The sticky bit keeps what lies there from others, as in /tmp.
fn warn_of_folder(warnings: &mut Problems, place: &str, folder: &Path) {
    if let Some(mode) = mode(folder).filter(|mode| mode & 0o1002 == 0o002) {
        let path = folder.display();
        let what = format!("lies in {path}, where others can put another file in its place (mode {mode:o})");
        warnings.add(place, what, format!("Run: chmod o-w {path}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, Dkim};
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Everything that a configuration can name, in a folder of its own, with the rights that
    /// README gives.
    fn good(dir: &Path) -> Config {
        set(dir, 0o755);
        for (name, mode) in
            [("c.toml", 0o640), ("key", 0o640), ("dkim", 0o600), ("pw", 0o440), ("cert", 0o644), ("roots", 0o444)]
        {
            std::fs::write(dir.join(name), "").unwrap();
            set(&dir.join(name), mode);
        }
        for (name, mode) in [("notices", 0o755), ("data", 0o700)] {
            std::fs::create_dir(dir.join(name)).unwrap();
            set(&dir.join(name), mode);
        }
        std::fs::write(dir.join("data/db"), "").unwrap();
        set(&dir.join("data/db"), 0o600);
        let mut config: Config = toml::from_str(
            "hostname = 'mx.m.test'\noperator = 'o@x.test'\n[[listener]]\naddress = '127.0.0.1:25'\ntls = 'starttls'\n[metrics]\naddress = '127.0.0.1:1'",
        )
        .unwrap();
        config.data_dir = dir.join("data");
        config.tls.key = Some(dir.join("key"));
        config.tls.certificate = Some(dir.join("cert"));
        config.tls.extra_roots = Some(dir.join("roots"));
        config.notices.directory = Some(dir.join("notices"));
        config.dkim = vec![Dkim { marketplace: "m".into(), selector: "s".into(), key: dir.join("dkim") }];
        let login = Credentials { user: "u".into(), password_file: dir.join("pw") };
        config.delivery.credentials.insert("h:1".into(), login);
        config
    }

    fn places(config: &Config, dir: &Path) -> String {
        let warnings = config.warnings(&dir.join("c.toml"), &["db", "db-wal"]);
        assert!(warnings.iter().all(|one| !one.what.is_empty() && one.remedy.len() > 8), "{warnings:?}");
        warnings.iter().map(|one| one.place.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn settings_that_open_a_door() {
        let dir = tempfile::tempdir().unwrap();
        let good = good(dir.path());
        assert_eq!(places(&good, dir.path()), "");
        let trust = |config: &mut Config, networks: &[&str]| {
            config.listener[0].trusted_networks = networks.iter().map(|text| (*text).to_owned()).collect();
        };
        // networks, the places
        let wide = "listener[0].trusted_networks[0]";
        let table: [(&[&str], &str); 8] = [
            (&["17.0.0.0/8"], wide),
            (&["198.51.0.0/15"], wide),
            (&["2001:d00::/24"], wide),
            (&["0.0.0.0/8"], wide),
            (&["198.51.0.0/16", "192.0.2.25"], ""),
            (&["10.0.0.0/8", "127.0.0.0/8", "fc00::/7"], ""),
            (&["10.0.0.0/8", "10.0.0.0/7"], "listener[0].trusted_networks[1]"),
            (&["2001:db8::/32"], ""),
        ];
        for (networks, want) in table {
            let mut config = good.clone();
            trust(&mut config, networks);
            assert_eq!(places(&config, dir.path()), want, "{networks:?}");
        }
        let addresses = [
            ("0.0.0.0:9125", false),
            ("[::]:9125", false),
            ("203.0.113.5:9125", false),
            ("[2001:db8::5]:9125", false),
            ("[::ffff:203.0.113.5]:9125", false),
            ("127.0.0.1:9125", true),
            ("[::1]:9125", true),
            ("10.2.3.4:9125", true),
            ("192.168.7.1:9125", true),
            ("[fd12::1]:9125", true),
            ("169.254.3.4:9125", true),
        ];
        for (address, fine) in addresses {
            let mut config = good.clone();
            config.metrics.address = Some(address.parse().unwrap());
            assert_eq!(places(&config, dir.path()), if fine { "" } else { "metrics.address" }, "{address}");
        }
        assert_eq!(places(&Config { operator: None, ..good }, dir.path()), "operator");
    }

    #[test]
    fn files_that_others_may_read_or_change() {
        let password = "delivery.credentials.\"h:1\".password_file";
        // file, its rights, the places
        let table = [
            ("c.toml", 0o644, "configuration"),
            ("c.toml", 0o660, "configuration"),
            ("c.toml", 0o642, "configuration"),
            ("c.toml", 0o440, ""),
            ("key", 0o644, "tls.key"),
            ("key", 0o602, "tls.key"),
            ("key", 0o620, "tls.key"),
            ("key", 0o600, ""),
            ("key", 0o400, ""),
            ("cert", 0o664, "tls.certificate"),
            ("cert", 0o646, "tls.certificate"),
            ("cert", 0o444, ""),
            ("roots", 0o666, "tls.extra_roots"),
            ("dkim", 0o604, "dkim[0].key"),
            ("dkim", 0o640, ""),
            ("pw", 0o444, password),
            ("pw", 0o640, ""),
            ("notices", 0o777, "notices.directory"),
            ("notices", 0o775, "notices.directory"),
            ("notices", 0o755, ""),
            ("data", 0o750, "data_dir"),
            ("data", 0o701, "data_dir"),
            ("data", 0o755, "data_dir"),
            ("data", 0o2770, "data_dir"),
            ("data/db", 0o640, "data_dir"),
            ("data/db", 0o604, "data_dir"),
            // The folder of all of them is told once, by the first that lies there; that of the
            // store has to be there for nobody.
            (".", 0o757, "configuration"),
            (".", 0o1777, ""),
            (".", 0o775, ""),
        ];
        for (file, mode, want) in table {
            let dir = tempfile::tempdir().unwrap();
            let config = good(dir.path());
            set(&dir.path().join(file), mode);
            assert_eq!(places(&config, dir.path()), want, "{file} {mode:o}");
            set(dir.path(), 0o755);
        }
    }

    /// As Let's Encrypt's clients lay them out: what counts is the file, and both folders.
    #[test]
    fn a_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = good(dir.path());
        let archive = dir.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        std::fs::write(archive.join("key1"), "").unwrap();
        set(&archive.join("key1"), 0o600);
        symlink(archive.join("key1"), dir.path().join("live")).unwrap();
        config.tls.key = Some(dir.path().join("live"));
        assert_eq!(places(&config, dir.path()), "");
        set(&archive.join("key1"), 0o644);
        assert_eq!(places(&config, dir.path()), "tls.key");
        set(&archive.join("key1"), 0o600);
        set(&archive, 0o777);
        assert_eq!(places(&config, dir.path()), "tls.key");
        // What is not there, or is no file, is no warning.
        config.tls.key = Some(dir.path().join("gone"));
        config.dkim[0].key = "/dev/null".into();
        assert_eq!(places(&config, dir.path()), "");
    }
}
