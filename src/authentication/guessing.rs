//! How often somebody may try to log in: so many wrong tries of one client network, and of one login, in a while. Memory is bounded; the time is an argument.
//!
//! A try counts before it is checked, so that many at once are not more than many in a row, and is given back when it was right. Who is at a client network from
//! which the login was right before is not held up by strangers who try the same login elsewhere.

use crate::types::Time;
use crate::types::counts::Counts;
use std::time::Duration;

/// Wrong tries count for so long from the first.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Wrong tries of one client network.
const OF_CLIENT: u32 = 10;
/// Wrong tries of one login, from networks where it was never right.
const OF_LOGIN: u32 = 30;
/// Networks that a login was right from are remembered for so long.
const MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// Which limit a try met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The client network's.
    Client,
    /// The login's.
    Login,
}

impl Limit {
    /// The word used in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "too-many-of-client",
            Self::Login => "too-many-of-login",
        }
    }
}

/// A login as it is counted: a keyed hash, so that its length does not matter and no table of logins lies in memory.
pub type LoginKey = u64;

/// The tries of a while.
#[derive(Debug)]
pub struct Guesses {
    clients: Counts<u128>,
    logins: Counts<LoginKey>,
    /// Login and client network, where it was right.
    homes: Counts<(LoginKey, u128)>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { clients: Counts::new(WINDOW), logins: Counts::new(WINDOW), homes: Counts::new(MEMORY) }
    }
}

impl Guesses {
    /// Counts a try, if it is one of those that are allowed. `client` is the network's key ([`client_key`](crate::types::network::client_key)).
    ///
    /// # Errors
    /// The limit that it would break; nothing is counted then.
    pub fn begin(&mut self, client: u128, login: LoginKey, now: Time) -> Result<(), Limit> {
        if self.clients.get(&client, now) >= OF_CLIENT {
            return Err(Limit::Client);
        }
        let at_home = self.homes.get(&(login, client), now) > 0;
        if !at_home && self.logins.get(&login, now) >= OF_LOGIN {
            return Err(Limit::Login);
        }
        self.clients.add(client, now);
        if !at_home {
            self.logins.add(login, now);
        }
        Ok(())
    }

    /// Whether the next wrong try meets a limit: what is refused for that is told once, not a line
    /// each.
    #[must_use]
    pub fn is_used_up(&self, client: u128, login: LoginKey, now: Time) -> Option<Limit> {
        if self.clients.get(&client, now) >= OF_CLIENT {
            return Some(Limit::Client);
        }
        (self.logins.get(&login, now) >= OF_LOGIN).then_some(Limit::Login)
    }

    /// The try was right, or was no try: it is given back. `right`: the network is one of the login's from now on.
    pub fn give_back(&mut self, client: u128, login: LoginKey, right: bool, now: Time) {
        self.clients.take_back(&client);
        if self.homes.get(&(login, client), now) == 0 {
            self.logins.take_back(&login);
        }
        if right {
            self.homes.renew((login, client), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_800_000_000_000);

    fn after(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_client_and_a_login_have_so_many_tries() {
        let mut guesses = Guesses::default();
        for n in 0..OF_CLIENT {
            assert_eq!(guesses.begin(1, u64::from(n), START), Ok(()), "{n}");
        }
        assert_eq!(guesses.begin(1, 99, after(899)), Err(Limit::Client));
        assert_eq!(guesses.begin(2, 99, after(899)), Ok(()), "another network");
        assert_eq!(guesses.begin(1, 99, after(900)), Ok(()), "the while is over");

        let mut guesses = Guesses::default();
        for n in 0..OF_LOGIN {
            assert_eq!(guesses.begin(u128::from(n), 7, START), Ok(()), "{n}");
        }
        assert_eq!(guesses.begin(999, 7, after(1)), Err(Limit::Login));
        assert_eq!(guesses.begin(999, 8, after(1)), Ok(()), "another login");
        assert_eq!(guesses.begin(999, 7, after(900)), Ok(()));
    }

    #[test]
    fn right_tries_are_given_back_and_their_network_is_known() {
        let mut guesses = Guesses::default();
        for _ in 0..1000 {
            assert_eq!(guesses.begin(1, 7, START), Ok(()));
            guesses.give_back(1, 7, true, START);
        }
        for n in 0..OF_LOGIN {
            assert_eq!(guesses.begin(u128::from(n) + 10, 7, START), Ok(()));
        }
        assert_eq!(guesses.begin(999, 7, START), Err(Limit::Login));
        assert_eq!(guesses.begin(1, 7, START), Ok(()), "the seller at home is not locked out");
        for _ in 1..OF_CLIENT {
            assert_eq!(guesses.begin(1, 7, START), Ok(()));
        }
        assert_eq!(guesses.begin(1, 7, START), Err(Limit::Client), "but has no more wrong tries than others");
    }

    /// Tries that are under way count like wrong ones.
    #[test]
    fn many_at_once_are_not_more() {
        let mut guesses = Guesses::default();
        let begun = (0..100).filter(|_| guesses.begin(1, 7, START).is_ok()).count();
        assert_eq!(begun, OF_CLIENT as usize);
    }

    #[test]
    fn a_clock_that_jumps_back_locks_nobody_out_for_long() {
        let mut guesses = Guesses::default();
        for _ in 0..OF_CLIENT {
            assert_eq!(guesses.begin(1, 7, after(1_000_000)), Ok(()));
        }
        assert_eq!(guesses.begin(1, 7, START), Ok(()));
    }
}
