//! The companies that give mailboxes to everybody: at which domains, and which spellings of an
//! address reach one mailbox there. Data; what follows from it stands in [`super::provider`] and
//! [`super::spelling`].
//!
//! A row says what the company's own pages say, and names them. Where they are silent two spellings
//! are two people.

/// One company.
#[derive(Debug)]
pub(super) struct House {
    /// Its domains; mailboxes below them are its own, too.
    pub(super) domains: &'static [&'static str],
    /// `ann+tag@` reaches `ann@`, and nobody else can have it.
    pub(super) tags: bool,
    /// Characters of a local part that do not count: `a.n.n@` is `ann@`.
    pub(super) ignored: &'static str,
    /// Characters that are one and the same: `a.nn@` is `a-nn@`, and `ann@` is another.
    pub(super) alike: &'static str,
    /// `tag@ann.domain` reaches `ann@domain`.
    pub(super) below: bool,
    /// One account has the same local part at all of these domains, and nobody else can have it.
    pub(super) twins: &'static [&'static str],
}

const PLAIN: House = House { domains: &[], tags: false, ignored: "", alike: "", below: false, twins: &[] };

/// Where one account has, or had, the same local part at several domains as far as is known: most
/// came with a merger or a new brand, and customers took their names along. Enough to hide all of
/// them, not enough to believe one for the other.
pub(super) const KIN: &[&[&str]] = &[
    // Since April 2018 (kddi.com) customers of au may change the domain alone.
    &["ezweb.ne.jp", "au.com"],
    &["yahoo.co.jp", "ybb.ne.jp"],
    &["ymobile.ne.jp", "y-mobile.ne.jp", "emobile.ne.jp"],
    &["nifty.com", "nifty.ne.jp"],
    &["biglobe.ne.jp", "biglobe.jp"],
    &["so-net.ne.jp", "so-net.jp"],
    &["ocn.ne.jp", "ocn.jp"],
    &["plala.or.jp", "plala.jp"],
    &["odn.ne.jp", "odn.jp"],
    &["asahi-net.or.jp", "asahi-net.jp"],
    &["jcom.home.ne.jp", "jcom.zaq.ne.jp"],
    &["t-online.de", "magenta.de"],
    &["orange.fr", "wanadoo.fr"],
    &["skynet.be", "proximus.be"],
    &["telenet.be", "pandora.be"],
    &["btinternet.com", "btopenworld.com"],
    &["comcast.net", "xfinity.com"],
    &["bell.net", "sympatico.ca"],
    &["telus.net", "telusplanet.net"],
];

/// What each company's own pages say. Where they say nothing, two spellings are two people.
#[rustfmt::skip]
pub(super) const HOUSES: &[House] = &[
    // support.google.com/mail: 7436150 (dots do not matter), 22370 (plus tags), 10313
    // (googlemail.com is the same account).
    House { domains: &["gmail.com", "googlemail.com"], tags: true, ignored: ".", twins: &["gmail.com", "googlemail.com"], ..PLAIN },
    // support.apple.com 118230 (HT201771): one account at icloud.com, at me.com and mac.com where
    // it is old enough; 102540: plus tags.
    // iCloud+ relays are at privaterelay.
    House { domains: &["icloud.com", "me.com", "mac.com"], tags: true, twins: &["icloud.com", "me.com", "mac.com"], ..PLAIN },
    House { domains: &["privaterelay.appleid.com"], ..PLAIN },
    // support.microsoft.com, "add or remove an email alias in Outlook.com": each name is taken at
    // one domain, so that outlook.com, hotmail.com and live.com are no twins; dots count.
    // learn.microsoft.com exchange/recipients-in-exchange-online/plus-addressing: plus tags; the
    // consumer service has had them since 2013.
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
    // help.yahoo.com, "temporary email addresses": keywords behind a hyphen, under a name of its
    // own that tells nothing of the account: they are registered, or strangers. No plus tags.
    House { domains: &["yahoo.com", "yahoo.co.uk", "yahoo.co.in", "yahoo.in", "yahoo.co.id", "yahoo.co.kr", "yahoo.co.nz", "yahoo.co.th", "yahoo.co.za",
        "yahoo.com.ar", "yahoo.com.au", "yahoo.com.br", "yahoo.com.cn", "yahoo.cn", "yahoo.com.co", "yahoo.com.hk", "yahoo.com.mx", "yahoo.com.my",
        "yahoo.com.ph", "yahoo.com.sg", "yahoo.com.tr", "yahoo.com.tw", "yahoo.com.vn", "yahoo.ca", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es",
        "yahoo.gr", "yahoo.ie", "yahoo.nl", "yahoo.no", "yahoo.pl", "yahoo.ro", "yahoo.se", "yahoo.dk", "yahoo.at", "yahoo.be", "yahoo.ch", "yahoo.cz",
        "yahoo.fi", "yahoo.hu", "yahoo.pt", "ymail.com", "rocketmail.com", "myyahoo.com", "aol.com", "aol.co.uk", "aol.de", "aol.fr", "aol.jp",
        "aim.com", "netscape.net", "verizon.net", "games.com", "love.com", "wow.com"], ..PLAIN },
    // support.yahoo-net.jp: "safety addresses" are made like Yahoo's keywords. yahoo.ne.jp is
    // Y!mobile's.
    House { domains: &["yahoo.co.jp", "ybb.ne.jp", "yahoo.ne.jp"], ..PLAIN },
    // RFC 6761 6.5: nobody's domain. Documentation, tests and demonstrations call a provider so.
    House { domains: &["provider.example"], ..PLAIN },
    // proton.me/support/addresses-and-aliases: plus tags; the same name at the others can be had by
    // its owner only. Dots, hyphens and underscores: ProtonMail/WebClients, `removeEmailAlias`, is
    // what Proton's own programs compare by.
    House { domains: &["proton.me", "protonmail.com", "pm.me", "protonmail.ch"], tags: true, ignored: ".-_",
        twins: &["proton.me", "protonmail.com", "pm.me", "protonmail.ch"], ..PLAIN },
    // fastmail.help 360060591053: plus and subdomain addressing at all of its domains. No two of
    // them are twins: each name is an alias that somebody took.
    House { domains: &["fastmail.com", "fastmail.fm", "fastmail.net", "fastmail.org", "fastmail.jp", "fastmail.de", "fastmail.co.uk", "fastmail.com.au",
        "fastmail.us", "fastmail.in", "fastmail.cn", "messagingengine.com", "sent.com", "fastemail.us", "mailbolt.com", "fmail.co.uk", "eml.cc",
        "warpmail.net", "imap.cc", "ml1.net", "letterboxes.org"], tags: true, below: true, ..PLAIN },
    // kb.mailbox.org, "sub-addressing"; posteo.de/en/help, "plus addressing"; hey.com/faqs;
    // help.runbox.com, "subaddressing".
    House { domains: &["mailbox.org"], tags: true, ..PLAIN },
    House { domains: &["posteo.de", "posteo.net", "posteo.at", "posteo.ch", "posteo.eu", "posteo.org"], tags: true, ..PLAIN },
    House { domains: &["hey.com"], tags: true, ..PLAIN },
    House { domains: &["runbox.com"], tags: true, ..PLAIN },
    // Zoho has plus tags for organisations' own domains; the free ones are not named.
    House { domains: &["zoho.com", "zohomail.com", "zoho.eu", "zohomail.eu", "zoho.in", "zohomail.in", "zoho.jp", "zohomail.jp"], ..PLAIN },
    House { domains: &["tutanota.com", "tutanota.de", "tuta.io", "tuta.com", "keemail.me", "mail.com",
        "email.com", "usa.com", "hushmail.com", "riseup.net", "disroot.org", "startmail.com", "mailfence.com", "duck.com", "skiff.com",
        "onmail.com", "inbox.com", "inbox.lv", "lycos.com", "excite.com", "juno.com", "netzero.net", "simplelogin.com", "anonaddy.com", "addy.io",
        "mozmail.com", "33mail.com"], ..PLAIN },
    // Germany, Austria, Switzerland. hilfe.gmx.net and hilfe.web.de, "Alias-Adresse": each address
    // is taken by itself; there are no tags, and dots count.
    House { domains: &["gmx.net", "gmx.de", "gmx.at", "gmx.ch", "gmx.com", "gmx.us", "gmx.co.uk", "gmx.fr", "gmx.es", "gmx.eu", "gmx.biz", "gmx.org",
        "gmx.info", "caramail.com", "web.de", "email.de", "1und1.de", "online.de", "onlinehome.de"], ..PLAIN },
    House { domains: &["t-online.de", "magenta.de", "freenet.de", "arcor.de", "vodafone.de", "vodafonemail.de", "kabelmail.de", "unitybox.de",
        "mail.de", "o2online.de", "o2mail.de", "netcologne.de", "ewetel.net", "ewe.net", "osnanet.de", "versanet.de", "alice-dsl.net", "hanse.net",
        "aon.at", "a1.net", "chello.at", "utanet.at", "inode.at", "liwest.at", "kabsi.at", "bluewin.ch", "hispeed.ch", "sunrise.ch", "swissonline.ch",
        "green.ch"], ..PLAIN },
    // Japan: carriers, and providers with and without a name of the customer below. Until 2009
    // docomo and au gave out dots in a row and before the `@` (nttdocomo.co.jp, "change_add";
    // au.com, "meiwaku"); their servers take them in quotes, as RFC 5321 4.1.2 writes them. Each
    // dot counts.
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
        "spaaqs.ne.jp", "coara.or.jp", "mineo.jp", "iijmio-mail.jp", "ctk.ne.jp", "catv.ne.jp", "itscom.net", "t-com.ne.jp", "nasicnet.com", "ksj.biglobe.ne.jp"], ..PLAIN },
    // China, Taiwan, Korea. service.mail.qq.com: the number, a name and a foxmail name are three
    // addresses of one account, with nothing in common. help.mail.163.com: none are twins.
    House { domains: &["qq.com", "vip.qq.com", "foxmail.com"], ..PLAIN },
    House { domains: &["163.com", "126.com", "yeah.net", "188.com", "vip.163.com", "vip.126.com", "netease.com"], ..PLAIN },
    House { domains: &["sina.com", "sina.cn", "vip.sina.com", "sohu.com", "vip.sohu.com", "tom.com", "21cn.com", "189.cn", "139.com", "wo.cn",
        "aliyun.com", "263.net", "eyou.com", "hinet.net", "pchome.com.tw", "seed.net.tw", "yam.com", "netvigator.com", "naver.com", "kakao.com",
        "nate.com", "korea.com", "lycos.co.kr"], ..PLAIN },
    // cs.daum.net, mail: an id has an address at each of the two.
    House { domains: &["daum.net", "hanmail.net"], twins: &["daum.net", "hanmail.net"], ..PLAIN },
    // Russia and its neighbours. yandex.com/support/id/authorization/email: one login, an alias at
    // each of Yandex's domains; support/mail/reg: a dot and a hyphen in a login are the same.
    House { domains: &["yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr", "ya.ru", "narod.ru"],
        tags: true, alike: ".-", twins: &["yandex.ru", "yandex.com", "yandex.by", "yandex.kz", "yandex.ua", "yandex.com.tr", "ya.ru"], ..PLAIN },
    House { domains: &["mail.ru", "bk.ru", "list.ru", "inbox.ru", "internet.ru", "xmail.ru", "vk.com", "rambler.ru", "lenta.ru", "autorambler.ru",
        "myrambler.ru", "ro.ru", "qip.ru", "pochta.ru", "ukr.net", "i.ua", "meta.ua", "bigmir.net", "tut.by"], ..PLAIN },
    // France, Italy, Spain, Portugal, Benelux.
    House { domains: &["orange.fr", "wanadoo.fr", "free.fr", "aliceadsl.fr", "laposte.net", "sfr.fr", "neuf.fr", "cegetel.net", "club-internet.fr",
        "numericable.fr", "noos.fr", "bbox.fr", "libertysurf.fr", "voila.fr", "libero.it", "virgilio.it", "inwind.it", "iol.it", "blu.it", "giallo.it",
        "tiscali.it", "tiscalinet.it", "alice.it", "tin.it", "tim.it", "aruba.it", "email.it", "fastwebnet.it", "vodafone.it", "poste.it",
        "telefonica.net", "terra.es", "orange.es", "ono.com", "sapo.pt", "netcabo.pt", "telenet.be", "pandora.be", "skynet.be", "proximus.be", "scarlet.be",
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
        "telus.net", "telusplanet.net", "rogers.com", "shaw.ca", "bell.net", "sympatico.ca", "videotron.ca", "cogeco.ca", "eastlink.ca", "sasktel.net", "mts.net",
        "uol.com.br", "bol.com.br", "terra.com.br", "ig.com.br", "globo.com", "globomail.com", "oi.com.br", "r7.com", "zipmail.com.br", "prodigy.net.mx",
        "fibertel.com.ar", "speedy.com.ar", "arnet.com.ar", "ciudad.com.ar", "vtr.net", "une.net.co", "cantv.net"], ..PLAIN },
    // Asia, Australia, Africa.
    House { domains: &["bigpond.com", "bigpond.net.au", "telstra.com", "optusnet.com.au", "iinet.net.au", "tpg.com.au", "internode.on.net", "dodo.com.au",
        "westnet.com.au", "ozemail.com.au", "xtra.co.nz", "slingshot.co.nz", "vodafone.co.nz", "orcon.net.nz", "rediffmail.com", "rediff.com", "sify.com",
        "indiatimes.com", "bsnl.in", "singnet.com.sg", "starhub.net.sg", "pacific.net.sg", "streamyx.com", "telkom.net", "mweb.co.za", "webmail.co.za",
        "telkomsa.net", "vodamail.co.za"], ..PLAIN },
];
