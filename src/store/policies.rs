//! What receivers' domains demand of those who deliver to them: MTA-STS policies (RFC 8461), kept for as long as they say.
//!
//! Not here: reading or fetching one (`outbound::sts`).

use super::{Change, Result, View};
use crate::types::Time;
use rusqlite::{OptionalExtension as _, params};

/// Policies that are kept; beyond it those go first that end first.
const MOST: i64 = 10_000;

/// What a policy asks for (RFC 8461 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsMode {
    /// Nothing goes out but as the policy wants it.
    Enforce,
    /// Only a report would be sent.
    Testing,
    /// Nothing.
    None,
}

/// A policy of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    /// The id in DNS when it was fetched.
    pub id: String,
    /// What it asks for.
    pub mode: StsMode,
    /// Names of MX hosts in lower case, `*.` for one label.
    pub mx: Vec<String>,
    /// When it was fetched.
    pub fetched: Time,
    /// It counts until then.
    pub expires: Time,
}

impl View<'_> {
    /// The policy of a domain, however old.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn sts_policy(&self, domain: &str) -> Result<Option<StsPolicy>> {
        let sql = "SELECT id, mode, mx, fetched, expires FROM sts_policy WHERE domain = ?1";
        let policy = self.0.prepare_cached(sql)?.query_row([domain], |row| {
            let mx: String = row.get(2)?;
            Ok(StsPolicy {
                id: row.get(0)?,
                mode: match row.get(1)? {
                    0 => StsMode::Enforce,
                    1 => StsMode::Testing,
                    _ => StsMode::None,
                },
                mx: mx.lines().map(str::to_owned).collect(),
                fetched: Time(row.get(3)?),
                expires: Time(row.get(4)?),
            })
        });
        Ok(policy.optional()?)
    }
}

impl Change<'_> {
    /// Keeps the policy of a domain in place of the one before, and forgets what has ended or is too much.
    ///
    /// # Errors
    /// The database's trouble.
    pub fn keep_sts_policy(&self, domain: &str, policy: &StsPolicy) -> Result<()> {
        let mode = match policy.mode {
            StsMode::Enforce => 0,
            StsMode::Testing => 1,
            StsMode::None => 2,
        };
        let sql = "INSERT OR REPLACE INTO sts_policy (domain, id, mode, mx, fetched, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![domain, policy.id, mode, policy.mx.join("\n"), policy.fetched.0, policy.expires.0];
        self.0.0.prepare_cached(sql)?.execute(values)?;
        self.0.0.prepare_cached("DELETE FROM sts_policy WHERE expires <= ?1")?.execute([policy.fetched.0])?;
        let count: i64 = self.0.0.prepare_cached("SELECT count(*) FROM sts_policy")?.query_row([], |row| row.get(0))?;
        let sql = "DELETE FROM sts_policy WHERE domain IN \
                   (SELECT domain FROM sts_policy WHERE domain != ?1 ORDER BY expires LIMIT ?2)";
        if count > MOST {
            self.0.0.prepare_cached(sql)?.execute(params![domain, count - MOST])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Open;
    use crate::store::tests::open;

    #[test]
    fn kept_replaced_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), Open::Create).unwrap();
        let policy = |id: &str, fetched: i64, days: i64| StsPolicy {
            id: id.into(),
            mode: StsMode::Enforce,
            mx: vec!["a.test".into(), "*.b.test".into()],
            fetched: Time(fetched),
            expires: Time(fetched + days),
        };
        let read = |domain: &str| store.read(|v| v.sts_policy(domain)).unwrap();
        let write = |domain: &str, policy: StsPolicy| {
            let domain = domain.to_owned();
            store.write_blocking(move |c| c.keep_sts_policy(&domain, &policy)).unwrap();
        };
        assert_eq!(read("x.test"), None);
        write("x.test", policy("1", 100, 10));
        write("x.test", policy("2", 101, 10));
        assert_eq!(read("x.test"), Some(policy("2", 101, 10)));
        for mode in [StsMode::Testing, StsMode::None] {
            let other = StsPolicy { mode, mx: Vec::new(), ..policy("3", 101, 10) };
            write("y.test", other.clone());
            assert_eq!(read("y.test"), Some(other));
        }
        write("z.test", policy("1", 111, 10));
        assert_eq!(read("x.test"), None, "it has ended");
        let filled = store.write_blocking(move |c| {
            for n in 0..MOST {
                c.0.0.execute(
                    "INSERT INTO sts_policy VALUES (?1, '', 0, '', 0, ?2)",
                    params![format!("d{n}"), 1000 + n],
                )?;
            }
            Ok(())
        });
        filled.unwrap();
        write("last.test", policy("1", 112, 1));
        assert!(
            read("last.test").is_some() && read("z.test").is_none() && read("d0").is_none() && read("d1").is_some()
        );
    }
}
