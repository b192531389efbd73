//! Domains at which strangers have mailboxes side by side, and when two spellings of an address are
//! one person there.
//!
//! SPF, DKIM and DMARC prove a domain. Where one company holds a domain, that is proof of the
//! author: the others there are his colleagues. At these domains it is not: whoever opens an
//! account has everything passing. One table says so for all rules
//! ([`Providers::gives_mailboxes`]), and the same row says which spellings are the same author
//! ([`Providers::same_author`]).
//!
//! A row that is missing lets a neighbour speak in the author's name. A row too many refuses
//! envelope senders and `Sender` fields of honest people whose `From` is proved, until they are
//! registered. The operator adds domains by `[authentication] providers` and `tags`.

use super::Address;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Who gives mailboxes at these domains, and below them.
#[derive(Debug)]
struct House {
    /// The domains.
    domains: &'static [&'static str],
    /// `ann+tag@` reaches `ann@`, and nobody else can have it.
    tags: bool,
    /// `a.n.n@` is `ann@`.
    dots: bool,
    /// One account has the same local part at all of these domains.
    twins: &'static [&'static str],
}

const PLAIN: House = House { domains: &[], tags: false, dots: false, twins: &[] };

/// What each company's own pages say. Where they say nothing, two spellings are two people.
#[rustfmt::skip]
const HOUSES: &[House] = &[
    // support.google.com/mail: 7436150 (dots do not matter), 22370 (plus tags), 10313
    // (googlemail.com is the same account).
    House { domains: &["gmail.com", "googlemail.com"], tags: true, dots: true, twins: &["gmail.com", "googlemail.com"] },
    // support.apple.com 102530: one account, three domains; plus tags are documented with it.
    // iCloud+ relays are at privaterelay.
    House { domains: &["icloud.com", "me.com", "mac.com"], tags: true, twins: &["icloud.com", "me.com", "mac.com"], ..PLAIN },
    House { domains: &["privaterelay.appleid.com"], ..PLAIN },
    // learn.microsoft.com exchange/recipients-in-exchange-online/plus-addressing; the consumer
    // service has had it since 2013.
    House { domains: &["outlook.com", "outlook.jp", "outlook.de", "outlook.fr", "outlook.it", "outlook.es", "outlook.at", "outlook.be", "outlook.cl",
        "outlook.cz", "outlook.dk", "outlook.ie", "outlook.in", "outlook.hu", "outlook.kr", "outlook.lv", "outlook.my", "outlook.ph", "outlook.pt",
        "outlook.sa", "outlook.sg", "outlook.sk", "outlook.com.ar", "outlook.com.au", "outlook.com.br", "outlook.com.gr", "outlook.com.tr",
        "outlook.com.vn", "outlook.co.id", "outlook.co.il", "outlook.co.th", "hotmail.com", "hotmail.co.jp", "hotmail.co.uk", "hotmail.co.kr",
        "hotmail.co.th", "hotmail.com.ar", "hotmail.com.au", "hotmail.com.br", "hotmail.com.tr", "hotmail.de", "hotmail.fr", "hotmail.it",
        "hotmail.es", "hotmail.nl", "hotmail.be", "hotmail.ca", "hotmail.ch", "hotmail.cl", "hotmail.dk", "hotmail.fi", "hotmail.gr", "hotmail.no",
        "hotmail.se", "hotmail.sg", "hotmail.my", "live.com", "live.jp", "live.de", "live.fr", "live.it", "live.nl", "live.be", "live.ca", "live.cn",
        "live.at", "live.cl", "live.dk", "live.ie", "live.in", "live.no", "live.se", "live.ru", "live.co.uk", "live.co.kr", "live.co.za",
        "live.com.ar", "live.com.au", "live.com.mx", "live.com.my", "live.com.pt", "live.com.sg", "msn.com", "passport.com", "windowslive.com"],
        tags: true, ..PLAIN },
    // Yahoo has keyword addresses with a hyphen, under a name of its own: they are registered, or
    // strangers.
    House { domains: &["yahoo.com", "yahoo.co.uk", "yahoo.co.in", "yahoo.in", "yahoo.co.id", "yahoo.co.kr", "yahoo.co.nz", "yahoo.co.th", "yahoo.co.za",
        "yahoo.com.ar", "yahoo.com.au", "yahoo.com.br", "yahoo.com.cn", "yahoo.cn", "yahoo.com.co", "yahoo.com.hk", "yahoo.com.mx", "yahoo.com.my",
        "yahoo.com.ph", "yahoo.com.sg", "yahoo.com.tr", "yahoo.com.tw", "yahoo.com.vn", "yahoo.ca", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es",
        "yahoo.gr", "yahoo.ie", "yahoo.nl", "yahoo.no", "yahoo.pl", "yahoo.ro", "yahoo.se", "yahoo.dk", "yahoo.at", "yahoo.be", "yahoo.ch", "yahoo.cz",
        "yahoo.fi", "yahoo.hu", "yahoo.pt", "ymail.com", "rocketmail.com", "myyahoo.com", "aol.com", "aol.co.uk", "aol.de", "aol.fr", "aol.jp",
        "aim.com", "netscape.net", "verizon.net", "games.com", "love.com", "wow.com"], ..PLAIN },
    House { domains: &["yahoo.co.jp", "ybb.ne.jp"], ..PLAIN },
    // RFC 6761 6.5: nobody's domain. Documentation, tests and demonstrations call a provider so.
    House { domains: &["provider.example"], ..PLAIN },
    // proton.me/support/addresses-and-aliases: plus tags; the same name at the other two can be had
    // by its owner only.
    House { domains: &["proton.me", "protonmail.com", "pm.me", "protonmail.ch"], tags: true, twins: &["proton.me", "protonmail.com", "pm.me"], ..PLAIN },
    // fastmail.help 360060591053: plus addressing at all of its domains.
    House { domains: &["fastmail.com", "fastmail.fm", "fastmail.net", "fastmail.org", "fastmail.jp", "messagingengine.com", "sent.com",
        "mailbox.org"], tags: true, ..PLAIN },
    House { domains: &["zoho.com", "zohomail.com", "zoho.eu", "zohomail.eu", "zoho.in", "zohomail.in", "zoho.jp", "zohomail.jp"], ..PLAIN },
    House { domains: &["tutanota.com", "tutanota.de", "tuta.io", "tuta.com", "keemail.me", "posteo.de", "posteo.net", "hey.com", "mail.com",
        "email.com", "usa.com", "hushmail.com", "riseup.net", "disroot.org", "runbox.com", "startmail.com", "mailfence.com", "duck.com", "skiff.com",
        "onmail.com", "inbox.com", "inbox.lv", "lycos.com", "excite.com", "juno.com", "netzero.net", "simplelogin.com", "anonaddy.com",
        "mozmail.com", "33mail.com"], ..PLAIN },
    // Germany, Austria, Switzerland.
    House { domains: &["gmx.net", "gmx.de", "gmx.at", "gmx.ch", "gmx.com", "gmx.us", "gmx.co.uk", "gmx.fr", "gmx.es", "gmx.eu", "gmx.biz", "gmx.org",
        "gmx.info", "caramail.com", "web.de", "email.de", "1und1.de", "online.de", "onlinehome.de"], ..PLAIN },
    House { domains: &["t-online.de", "magenta.de", "freenet.de", "arcor.de", "vodafone.de", "vodafonemail.de", "kabelmail.de", "unitybox.de",
        "mail.de", "o2online.de", "o2mail.de", "netcologne.de", "ewetel.net", "ewe.net", "osnanet.de", "versanet.de", "alice-dsl.net", "hanse.net",
        "aon.at", "a1.net", "chello.at", "utanet.at", "inode.at", "liwest.at", "kabsi.at", "bluewin.ch", "hispeed.ch", "sunrise.ch", "swissonline.ch",
        "green.ch"], ..PLAIN },
    // Japan: carriers, and providers with and without a name of the customer below.
    House { domains: &["docomo.ne.jp", "dwmail.jp", "docomo.blackberry.com", "mopera.net", "mopera.ne.jp"], ..PLAIN },
    House { domains: &["ezweb.ne.jp", "au.com", "biz.ezweb.ne.jp", "ido.ne.jp", "sky.tkk.ne.jp", "sky.tkc.ne.jp", "sky.tu-ka.ne.jp", "uqmobile.jp",
        "auone.jp", "auone-net.jp", "dion.ne.jp", "kddi.com"], ..PLAIN },
    House { domains: &["softbank.ne.jp", "i.softbank.jp", "vodafone.ne.jp", "disney.ne.jp", "emobile.ne.jp", "emobile-s.ne.jp", "emnet.ne.jp",
        "ymobile.ne.jp", "ymobile1.ne.jp", "y-mobile.ne.jp", "willcom.com", "pdx.ne.jp", "jp-d.ne.jp", "jp-h.ne.jp", "jp-t.ne.jp", "jp-c.ne.jp",
        "jp-r.ne.jp", "jp-k.ne.jp", "jp-n.ne.jp", "jp-s.ne.jp", "jp-q.ne.jp"], ..PLAIN },
    House { domains: &["rakumail.jp", "rakuten.jp", "infoseek.jp", "nifty.com", "nifty.ne.jp", "biglobe.ne.jp", "biglobe.jp", "ocn.ne.jp", "ocn.jp",
        "so-net.ne.jp", "so-net.jp", "plala.or.jp", "plala.jp", "asahi-net.or.jp", "asahi-net.jp", "dti.ne.jp", "dream.jp", "eonet.ne.jp", "zaq.ne.jp",
        "zaq.jp", "jcom.home.ne.jp", "jcom.zaq.ne.jp", "jcom.ne.jp", "home.ne.jp", "commufa.jp", "hi-ho.ne.jp", "tcp-ip.or.jp", "iij4u.or.jp",
        "sannet.ne.jp", "wakwak.com", "bbiq.jp", "megaegg.ne.jp", "enjoy.ne.jp", "pikara.ne.jp", "tiki.ne.jp", "tnc.jp", "tokai.or.jp", "thn.ne.jp",
        "interlink.or.jp", "excite.co.jp", "goo.jp", "mail.goo.ne.jp", "livedoor.com", "infoweb.ne.jp", "alpha-net.ne.jp", "odn.ne.jp", "odn.jp",
        "spaaqs.ne.jp", "coara.or.jp", "mineo.jp", "ctk.ne.jp", "catv.ne.jp", "itscom.net", "t-com.ne.jp", "nasicnet.com", "ksj.biglobe.ne.jp"], ..PLAIN },
    // China, Taiwan, Korea.
    House { domains: &["qq.com", "vip.qq.com", "foxmail.com"], ..PLAIN },
    House { domains: &["163.com", "126.com", "yeah.net", "188.com", "vip.163.com", "vip.126.com", "netease.com"], ..PLAIN },
    House { domains: &["sina.com", "sina.cn", "vip.sina.com", "sohu.com", "vip.sohu.com", "tom.com", "21cn.com", "189.cn", "139.com", "wo.cn",
        "aliyun.com", "263.net", "eyou.com", "hinet.net", "pchome.com.tw", "seed.net.tw", "yam.com", "netvigator.com", "naver.com", "daum.net",
        "hanmail.net", "kakao.com", "nate.com", "korea.com", "lycos.co.kr"], ..PLAIN },
    // Russia and its neighbours. yandex.com/support/id: one login, all of these domains.
    House { domains: &["yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr", "ya.ru", "narod.ru"],
        tags: true, twins: &["yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr", "ya.ru"], ..PLAIN },
    House { domains: &["mail.ru", "bk.ru", "list.ru", "inbox.ru", "internet.ru", "xmail.ru", "vk.com", "rambler.ru", "lenta.ru", "autorambler.ru",
        "myrambler.ru", "ro.ru", "qip.ru", "pochta.ru", "ukr.net", "i.ua", "meta.ua", "bigmir.net", "tut.by"], ..PLAIN },
    // France, Italy, Spain, Portugal, Benelux.
    House { domains: &["orange.fr", "wanadoo.fr", "free.fr", "aliceadsl.fr", "laposte.net", "sfr.fr", "neuf.fr", "cegetel.net", "club-internet.fr",
        "numericable.fr", "noos.fr", "bbox.fr", "libertysurf.fr", "voila.fr", "libero.it", "virgilio.it", "inwind.it", "iol.it", "blu.it", "giallo.it",
        "tiscali.it", "tiscalinet.it", "alice.it", "tin.it", "tim.it", "aruba.it", "email.it", "fastwebnet.it", "vodafone.it", "poste.it", 
        "telefonica.net", "terra.es", "orange.es", "ono.com", "sapo.pt", "netcabo.pt", "telenet.be", "skynet.be", "proximus.be", "scarlet.be",
        "ziggo.nl", "kpnmail.nl", "kpnplanet.nl", "planet.nl", "home.nl", "xs4all.nl", "casema.nl", "hetnet.nl", "upcmail.nl", "tele2.nl", "online.nl",
        "quicknet.nl", "chello.nl", "pt.lu"], ..PLAIN },
    // East and north of Europe, Greece, Turkey.
    House { domains: &["seznam.cz", "email.cz", "post.cz", "centrum.cz", "centrum.sk", "atlas.cz", "volny.cz", "azet.sk", "zoznam.sk", "wp.pl", "o2.pl",
        "tlen.pl", "onet.pl", "onet.eu", "op.pl", "vp.pl", "poczta.onet.pl", "interia.pl", "interia.eu", "poczta.fm", "gazeta.pl", "freemail.hu",
        "citromail.hu", "t-online.hu", "abv.bg", "mail.bg", "dir.bg", "walla.co.il", "otenet.gr", "mynet.com", "ttmail.com", "telia.com", "bredband.net",
        "spray.se", "comhem.se", "online.no", "broadpark.no", "mail.dk", "tdcadsl.dk", "stofanet.dk", "luukku.com", "kolumbus.fi", "elisanet.fi",
        "suomi24.fi", "mail.ee", "hot.ee", "siol.net", "t-com.hr", "net.hr", "net.hu"], ..PLAIN },
    // Great Britain and Ireland.
    House { domains: &["btinternet.com", "btopenworld.com", "talk21.com", "sky.com", "virginmedia.com", "virgin.net", "ntlworld.com", "blueyonder.co.uk",
        "talktalk.net", "tiscali.co.uk", "lineone.net", "plus.com", "plusnet.com", "orange.net", "freeserve.co.uk", "o2.co.uk", "fsmail.net", "eircom.net"],
        ..PLAIN },
    // America.
    House { domains: &["comcast.net", "xfinity.com", "att.net", "sbcglobal.net", "bellsouth.net", "ameritech.net", "pacbell.net", "swbell.net",
        "snet.net", "flash.net", "prodigy.net", "cox.net", "charter.net", "spectrum.net", "rr.com", "roadrunner.com", "twc.com", "brighthouse.com",
        "optonline.net", "optimum.net", "suddenlink.net", "earthlink.net", "mindspring.com", "frontier.com", "frontiernet.net", "windstream.net",
        "centurylink.net", "embarqmail.com", "q.com", "tds.net", "wowway.com", "rcn.com", "mediacombb.net", "hughes.net", "cableone.net", "tmomail.net",
        "telus.net", "rogers.com", "shaw.ca", "bell.net", "sympatico.ca", "videotron.ca", "cogeco.ca", "eastlink.ca", "sasktel.net", "mts.net",
        "uol.com.br", "bol.com.br", "terra.com.br", "ig.com.br", "globo.com", "globomail.com", "oi.com.br", "r7.com", "zipmail.com.br", "prodigy.net.mx",
        "fibertel.com.ar", "speedy.com.ar", "arnet.com.ar", "ciudad.com.ar", "vtr.net", "une.net.co", "cantv.net"], ..PLAIN },
    // Asia, Australia, Africa.
    House { domains: &["bigpond.com", "bigpond.net.au", "telstra.com", "optusnet.com.au", "iinet.net.au", "tpg.com.au", "internode.on.net", "dodo.com.au",
        "westnet.com.au", "ozemail.com.au", "xtra.co.nz", "slingshot.co.nz", "vodafone.co.nz", "orcon.net.nz", "rediffmail.com", "rediff.com", "sify.com",
        "indiatimes.com", "bsnl.in", "singnet.com.sg", "starhub.net.sg", "pacific.net.sg", "streamyx.com", "telkom.net", "mweb.co.za", "webmail.co.za",
        "telkomsa.net", "vodamail.co.za"], ..PLAIN },
];

static BY_DOMAIN: LazyLock<HashMap<&'static str, &'static House>> = LazyLock::new(|| {
    HOUSES.iter().flat_map(|house| house.domains.iter().map(move |domain| (*domain, house))).collect()
});

/// The table, with what the operator adds to it.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    added: HashSet<String>,
    tags: HashSet<String>,
}

impl Providers {
    /// The table with more domains: where strangers have mailboxes, and where `ann+tag@` is `ann@`.
    /// Lower-case A-labels.
    #[must_use]
    pub fn new(added: impl IntoIterator<Item = String>, tags: impl IntoIterator<Item = String>) -> Self {
        Self { added: added.into_iter().collect(), tags: tags.into_iter().collect() }
    }

    /// Whether strangers have mailboxes in this domain. What lies below a provider's domain is the
    /// provider's as well.
    #[must_use]
    pub fn gives_mailboxes(&self, domain: &str) -> bool {
        house(domain).is_some() || (!self.added.is_empty() && above(domain).any(|name| self.added.contains(name)))
    }

    /// Whether a mailbox in one of these domains may belong to a customer of the same provider: the
    /// same domain, one below the other, or two domains of one house.
    #[must_use]
    pub fn neighbours(&self, one: &str, other: &str) -> bool {
        is_within(one, other)
            || is_within(other, one)
            || matches!((house(one), house(other)), (Some(a), Some(b)) if std::ptr::eq(a, b))
    }

    /// Whether two addresses are the same author. Letter case does not matter, ASCII only: a Kelvin
    /// sign is no `k`. A `+tag`, a dot and a twin domain are the same only where a row, or the
    /// operator, says so.
    ///
    /// Narrower than [`Address::key`], which is for what is hidden: there each of them is the same
    /// address.
    #[must_use]
    pub fn same_author(&self, one: &Address, other: &Address) -> bool {
        let (a, b) = (one.domain(), other.domain());
        let row = BY_DOMAIN.get(a).copied();
        let twins = |row: &House| row.twins.contains(&a) && row.twins.contains(&b);
        if a != b && !row.is_some_and(twins) {
            return false;
        }
        let tags = row.is_some_and(|row| row.tags) || self.tags.contains(a);
        let dots = row.is_some_and(|row| row.dots);
        let (one, other) = (mailbox(one.local(), tags), mailbox(other.local(), tags));
        if dots && !one.starts_with('"') && !other.starts_with('"') {
            let letters = |local: &'_ str| {
                local.bytes().filter(|b| *b != b'.').map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>()
            };
            return letters(one) == letters(other);
        }
        one.eq_ignore_ascii_case(other)
    }
}

/// A local part without its tag, where tags count for nothing.
fn mailbox(local: &str, tags: bool) -> &str {
    match local.find('+') {
        Some(cut) if tags && cut > 0 && !local.starts_with('"') => local.get(..cut).unwrap_or(local),
        _ => local,
    }
}

/// Whether a domain is the other, or lies below it.
#[must_use]
pub fn is_within(domain: &str, other: &str) -> bool {
    domain.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A domain and those above it, the longest first.
fn above(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, rest)| rest))
}

/// The row of a domain, or of one above it.
fn house(domain: &str) -> Option<&'static House> {
    above(domain).find_map(|name| BY_DOMAIN.get(name).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_stands_once_and_is_written_as_it_is_looked_up() {
        let mut seen = HashSet::new();
        for domain in HOUSES.iter().flat_map(|house| house.domains) {
            assert_eq!(crate::types::address::ascii_domain(domain).as_deref(), Ok(*domain));
            assert!(seen.insert(domain), "{domain}");
        }
        for house in HOUSES {
            assert!(house.twins.iter().all(|twin| house.domains.contains(twin)), "{:?}", house.twins);
        }
    }

    #[test]
    fn who_gives_mailboxes() {
        let providers = Providers::new(["mail.test".to_owned()], []);
        let cases = [
            ("gmail.com", true),
            ("yahoo.co.jp", true),
            ("docomo.ne.jp", true),
            ("t.vodafone.ne.jp", true),
            ("abc.ocn.ne.jp", true),
            ("mail.test", true),
            ("sub.mail.test", true),
            ("xmail.test", false),
            ("shop.test", false),
            ("co.jp", false),
            ("ne.jp", false),
            ("com", false),
            ("", false),
        ];
        for (domain, want) in cases {
            assert_eq!(providers.gives_mailboxes(domain), want, "{domain}");
        }
        let neighbours = [
            ("gmail.com", "googlemail.com", true),
            ("outlook.com", "hotmail.co.jp", true),
            ("sub.mail.test", "mail.test", true),
            ("mail.test", "sub.mail.test", true),
            ("gmail.com", "yahoo.com", false),
            ("shop.test", "gmail.com", false),
        ];
        for (one, other, want) in neighbours {
            assert_eq!(providers.neighbours(one, other), want, "{one} {other}");
        }
    }

    #[test]
    fn which_spellings_are_one_author() {
        let providers = Providers::new([], ["shop.test".to_owned()]);
        let cases = [
            ("ann@x.test", "ann@x.test", true),
            ("Ann@x.test", "ANN@X.test", true),
            ("mark@x.test", "mar\u{212a}@x.test", false),
            ("straße@x.test", "strasse@x.test", false),
            ("ä@x.test", "Ä@x.test", false),
            ("ann+a@x.test", "ann@x.test", false),
            ("ann+a@x.test", "ann+a@x.test", true),
            ("ann+a@x.test", "ann+b@x.test", false),
            ("ann+a@shop.test", "ann@shop.test", true),
            ("ann+a@sub.shop.test", "ann@sub.shop.test", false),
            ("+a@shop.test", "+b@shop.test", false),
            ("\"a b+c\"@shop.test", "\"a b\"@shop.test", false),
            ("\"ann\"@x.test", "ann@x.test", true),
            ("an.n+x@gmail.com", "Ann@googlemail.com", true),
            ("ann@gmail.com", "bob@gmail.com", false),
            ("a.nn@outlook.com", "ann@outlook.com", false),
            ("ann+x@outlook.com", "ann@outlook.com", true),
            ("ann@outlook.com", "ann@hotmail.com", false),
            ("ann@me.com", "ann@icloud.com", true),
            ("ann+x@yahoo.com", "ann@yahoo.com", false),
            ("ann@x.test", "ann@sub.x.test", false),
        ];
        for (one, other, want) in cases {
            let [one, other] = [one, other].map(|text| Address::parse(text).unwrap());
            assert_eq!(providers.same_author(&one, &other), want, "{}", one.expose());
            assert_eq!(providers.same_author(&other, &one), want, "{}", other.expose());
        }
    }
}
