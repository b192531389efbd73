//! How real senders sign: the `h=` lists of their servers, with keys of our own, and the way by
//! which each has to be proved. What makes one of these pass less is a fault, whatever else it
//! mends.
//!
//! `seen`: as it stands in public mailing-list archives of 2019 to 2026. `told`: what the maker's
//! own pages or the defaults of the signing program say; the archives of lists show no sample.

use super::*;
use crate::policy::author::By;
use aws_lc_rs::digest;
use rcgen::SigningKey as _;

/// Who; what he covers; how he canonicalises; other tags (`T` is now, `X` a week later); domains of
/// author, signature and envelope; whether SPF allows the client for the envelope's domain; the
/// way.
type Row = (&'static str, &'static str, &'static str, &'static str, [&'static str; 3], bool, By);

const RELAXED: &str = "relaxed/relaxed";
const MIXED: &str = "relaxed/simple";
const OWN: [&str; 3] = ["shop.test", "shop.test", "shop.test"];
/// A mailing service: its own envelope, the author's key.
const SERVICE: [&str; 3] = ["shop.test", "shop.test", "bounces.esp.test"];
const MICROSOFT: &str = "From:Date:Subject:Message-ID:Content-Type:MIME-Version:X-MS-Exchange-SenderADCheck";

#[rustfmt::skip]
const SENDERS: &[Row] = &[
    // by DKIM alone: forwarded, or behind a front that hides the client
    ("Gmail, to 2022 (seen)", "mime-version:from:date:message-id:subject:to", RELAXED, "", ["gmail.com"; 3], false, By::Signature),
    ("Gmail (seen)", "to:subject:message-id:date:from:mime-version:from:to:cc:subject:date:message-id:reply-to", RELAXED, "t=T; x=X; darn=m.test", ["gmail.com"; 3], false, By::Signature),
    ("Google Workspace without SPF (seen)", "content-transfer-encoding:cc:to:subject:message-id:date:from:in-reply-to:references:mime-version:from:to:cc:subject:date:message-id:reply-to", RELAXED, "t=T; x=X", OWN, false, By::Signature),
    ("Google Workspace, an answer (seen)", "to:references:message-id:content-transfer-encoding:cc:date:in-reply-to:from:subject:mime-version:from:to:cc:subject:date:message-id:reply-to", RELAXED, "t=T; x=X", OWN, false, By::Signature),
    ("iCloud, to 2025 (seen)", "From:Date:Subject:MIME-Version:Content-Type:Message-Id:To:x-icloud-hme", RELAXED, "", ["icloud.com"; 3], false, By::Signature),
    ("iCloud (seen)", "From:Content-Type:Mime-Version:Subject:Message-Id:To:Date:x-icloud-hme", RELAXED, "t=T; x=X", ["icloud.com"; 3], false, By::Signature),
    ("me.com (told)", "From:To:Subject:Date:Message-ID:MIME-Version:x-icloud-hme", RELAXED, "t=T; x=X", ["me.com"; 3], false, By::Signature),
    ("Yahoo (seen)", "From:To:Cc:Subject:Date:In-Reply-To:References:From:Subject:Reply-To", RELAXED, "t=T", ["yahoo.com"; 3], false, By::Signature),
    ("Yahoo without Message-ID (seen)", "From:Date:Subject:To:From:Subject", RELAXED, "t=T", ["yahoo.com"; 3], false, By::Signature),
    ("yahoo.co.jp (seen)", "Date:From:Reply-To:To:Message-ID:Subject:MIME-Version:Content-Type:References", RELAXED, "t=T; q=dns/txt", ["yahoo.co.jp"; 3], false, By::Signature),
    ("yahoo.co.jp by a mail program (seen)", "Received:X-YMail-JAS:X-Apparently-From:X-YMail-OSG:Subject:To:Cc:References:From:Message-ID:Date:User-Agent:MIME-Version:In-Reply-To:Content-Type:Content-Transfer-Encoding:Content-Language", RELAXED, "t=T", ["yahoo.co.jp"; 3], false, By::Signature),
    ("QQ (seen)", "From:To:Cc:Subject:Date:In-Reply-To:References", RELAXED, "t=T", ["qq.com"; 3], false, By::Signature),
    ("QQ by the web (seen)", "From:To:Subject:Mime-Version:Date:Message-ID", RELAXED, "t=T", ["qq.com"; 3], false, By::Signature),
    ("GMX (seen)", "X-UI-Sender-Class:Date:Subject:To:Cc:References:From:In-Reply-To", MIXED, "t=T; x=X; i=ann@gmx.de", ["gmx.de"; 3], false, By::Signature),
    ("GMX, to 2022 (seen)", "X-UI-Sender-Class:Date:From:To:Subject", MIXED, "t=T", ["gmx.de"; 3], false, By::Signature),
    ("web.de (seen)", "X-UI-Sender-Class:From:To:Subject:Date:In-Reply-To:References", MIXED, "t=T; x=X; i=ann@web.de", ["web.de"; 3], false, By::Signature),
    ("Proton (seen)", "Date:To:From:Subject:Message-ID:Feedback-ID:From:To:Cc:Date:Subject:Reply-To:Feedback-ID:Message-ID:BIMI-Selector", RELAXED, "t=T; x=X", ["protonmail.com"; 3], false, By::Signature),
    ("Proton, to 2019 (seen)", "Date:To:From:Reply-To:Subject:In-Reply-To:References:Feedback-ID:From", RELAXED, "t=T", ["protonmail.com"; 3], false, By::Signature),
    ("mail.ru (seen)", "Content-Transfer-Encoding:MIME-Version:Message-ID:Date:Subject:Cc:To:From:From:Subject:Content-Type:Content-Transfer-Encoding:To:Cc", RELAXED, "q=dns/txt; t=T;x=X", ["mail.ru"; 3], false, By::Signature),
    ("Fastmail (seen)", "cc:cc:content-transfer-encoding:content-type:content-type:date:date:from:from:in-reply-to:in-reply-to:message-id:mime-version:references:reply-to:subject:subject:to:to", RELAXED, "t=T; x=X", OWN, false, By::Signature),
    ("Zoho (told)", "Date:Date:From:From:To:To:Cc:Message-Id:Message-Id:Subject:Subject:MIME-Version:Content-Type:Reply-To", RELAXED, "t=T", OWN, false, By::Signature),
    // mailing services and help desks, with the author's key
    ("SendGrid (seen)", "from:to:subject:mime-version:content-type", RELAXED, "", SERVICE, true, By::Signature),
    ("SendGrid, letters to many (seen)", "content-type:from:mime-version:subject:reply-to:to:list-unsubscribe:list-unsubscribe-post:cc:content-type:from:subject:to", RELAXED, "", SERVICE, true, By::Signature),
    ("SendGrid, envelope in the author's domain (told)", "from:subject:to:cc:content-type:content-transfer-encoding", RELAXED, "", ["shop.test", "shop.test", "em1.shop.test"], true, By::Signature),
    ("Freshdesk, by SendGrid (told)", "date:from:reply-to:to:in-reply-to:references:subject:mime-version:content-type", RELAXED, "", SERVICE, true, By::Signature),
    ("Shopify, by SendGrid (told)", "from:subject:mime-version:reply-to:to:content-type:cc:content-type:from:subject:to", RELAXED, "", SERVICE, true, By::Signature),
    ("Amazon SES (seen)", "MIME-Version:Content-Type:Content-Transfer-Encoding:Subject:From:To:Date:Message-ID:Feedback-ID", MIXED, "q=dns/txt; t=T", SERVICE, true, By::Signature),
    ("Amazon SES, an answer (seen)", "In-Reply-To:From:To:Cc:Subject:Message-ID:Content-Transfer-Encoding:Date:MIME-Version:Content-Type:Feedback-ID", MIXED, "q=dns/txt; t=T", SERVICE, true, By::Signature),
    ("Zendesk (seen)", "date:from:reply-to:to:message-id:in-reply-to:references:subject:mime-version:content-type:content-transfer-encoding", RELAXED, "q=dns/txt; t=T", SERVICE, true, By::Signature),
    ("Mandrill (seen)", "From:Subject:Message-Id:To:References:In-Reply-To:Feedback-ID:Date:MIME-Version:Content-Type:Content-Transfer-Encoding:CC:Date:Subject:From", RELAXED, "t=T; x=X", SERVICE, true, By::Signature),
    ("Postmark (seen, but for SHA-256)", "From:Date:Subject:Message-Id:To:MIME-Version:Content-Type", RELAXED, "", SERVICE, true, By::Signature),
    ("Mailgun (told)", "Mime-Version:Content-Type:Subject:From:To:Message-Id:Sender:Date:Sender", RELAXED, "q=dns/txt; t=T", ["shop.test", "shop.test", "mg.shop.test"], true, By::Signature),
    ("HubSpot (told)", "From:To:Subject:MIME-Version:Content-Type:Date:Message-ID:List-Unsubscribe:Reply-To:Feedback-ID", RELAXED, "t=T", SERVICE, true, By::Signature),
    ("Salesforce (told)", "Date:From:To:Subject:MIME-Version:Content-Type", RELAXED, "t=T", SERVICE, true, By::Signature),
    // own servers: what their programs sign by default
    ("OpenDKIM, as at Sakura and Xserver (told)", "Date:From:To:Subject:From", MIXED, "t=T", OWN, false, By::Signature),
    ("rspamd (told)", "from:from:reply-to:subject:subject:date:date:message-id:message-id:to:to:cc:mime-version:mime-version:content-type:content-type", RELAXED, "t=T", OWN, false, By::Signature),
    ("Exim (told)", "From:Sender:Reply-To:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding:Content-ID:Content-Description:In-Reply-To:References", RELAXED, "", OWN, false, By::Signature),
    ("below the author's domain, with DMARC (told)", "from:to:subject:date", RELAXED, "t=T", ["dmarc.test", "mail.dmarc.test", "esp.test"], false, By::Signature),
    // who leaves To out, or signs by a domain of his own: SPF with the author's own envelope
    ("Microsoft 365 (seen)", MICROSOFT, RELAXED, "", OWN, true, By::Spf),
    ("outlook.com (seen)", MICROSOFT, RELAXED, "", ["outlook.com"; 3], true, By::Spf),
    ("163.com (seen)", "From:Content-Type:Mime-Version:Subject:Message-Id:Date", RELAXED, "", ["163.com"; 3], true, By::Spf),
    ("Yahoo by the web, 2019 (seen)", "Date:From:Reply-To:Subject:From:Subject", RELAXED, "t=T", ["yahoo.com"; 3], true, By::Spf),
    ("Google Workspace with SPF and Google's key (told)", "to:subject:message-id:date:from:mime-version", RELAXED, "t=T", ["shop.test", "shop-test.20230601.gappssmtp.com", "shop.test"], true, By::Spf),
    ("docomo (told)", "-", "", "", ["docomo.ne.jp"; 3], true, By::Spf),
    ("au (told)", "-", "", "", ["ezweb.ne.jp"; 3], true, By::Spf),
    ("SoftBank (told)", "-", "", "", ["i.softbank.jp"; 3], true, By::Spf),
    ("T-Online (told)", "-", "", "", ["t-online.de"; 3], true, By::Spf),
    ("Rakuten Mobile (told)", "-", "", "", ["rakumail.jp"; 3], true, By::Spf),
    // and where SPF is not theirs, nothing proves them
    ("Microsoft 365 behind a front that hides the client (seen)", MICROSOFT, RELAXED, "", OWN, false, By::Nothing),
    ("163.com, forwarded (seen)", "From:Content-Type:Mime-Version:Subject:Message-Id:Date", RELAXED, "", ["163.com"; 3], false, By::Nothing),
    ("a service's own key (seen)", "from:to:subject:mime-version:content-type", RELAXED, "", ["shop.test", "sendgrid.net", "sendgrid.net"], true, By::Nothing),
];

/// Relaxed, RFC 6376 3.4.2.
fn canonical(name: &str, value: &str) -> String {
    format!("{}:{}\r\n", name.trim().to_lowercase(), value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A message signed by these tags, and its key in the zone.
fn signed(zone: &mut Zone, row: &Row, author: &str, now: i64) -> String {
    let (_, covered, canonicalization, tags, [_, domain, _], ..) = *row;
    let fields = format!(
        "Received: from a by b; date\r\nX-YMail-JAS: x\r\nFrom: Ann <{author}>\r\nTo: Shop <bq7k@m.test>\r\nReply-To: {author}\r\n\
         Subject: Your order 250\r\nDate: {}\r\nMessage-ID: <1@shop.test>\r\nMIME-Version: 1.0\r\nX-UI-Sender-Class: x\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\nFeedback-ID: a:b\r\n",
        Time(now * 1000).rfc5322()
    );
    let body = "Hello,\r\nwhen will it come?\r\n";
    if covered == "-" {
        return format!("{fields}\r\n{body}");
    }
    let hash = base64(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    let tags = tags.replace("=T", &format!("={now}")).replace("=X", &format!("={}", now + 7 * 86_400));
    let tags = if tags.is_empty() { tags } else { format!("{tags}; ") };
    let unsigned = format!(
        " v=1; a=rsa-sha256; c={canonicalization}; d={domain}; s=rsa; {tags}\r\n\tbh={hash};\r\n\th={covered};\r\n\tb="
    );
    let mut data = String::new();
    let lines: Vec<(&str, &str)> = fields.lines().filter_map(|line| line.split_once(':')).collect();
    let mut taken = vec![false; lines.len()];
    for name in covered.split(':') {
        // From the bottom; a name that is not there covers that it is not there.
        let at = (0..lines.len()).rev().find(|at| !taken[*at] && lines[*at].0.eq_ignore_ascii_case(name));
        if let Some(at) = at {
            taken[at] = true;
            data += &canonical(lines[at].0, lines[at].1);
        }
    }
    data += canonical("DKIM-Signature", &unsigned).trim_end();
    let key = format!("v=DKIM1; k=rsa; p={}", base64(&rcgen::PublicKeyData::subject_public_key_info(&*RSA)));
    zone.insert(format!("rsa._domainkey.{domain}"), vec![key]);
    format!("DKIM-Signature:{unsigned}{}\r\n{fields}\r\n{body}", base64(&RSA.sign(data.as_bytes()).unwrap()))
}

#[tokio::test]
async fn real_senders_are_proved_each_by_his_way() {
    assert!(SENDERS.len() >= 40);
    let now = Time::now();
    for row in SENDERS {
        let (who, covered, _, tags, [domain, _, envelope], spf, want) = *row;
        let author = format!("ann@{domain}");
        let mut zone = zone(&[("_dmarc.dmarc.test", "v=DMARC1; p=reject")]);
        let record = if spf { "v=spf1 ip4:192.0.2.1 -all" } else { "v=spf1 -all" };
        zone.insert(envelope.to_owned(), vec![record.to_owned()]);
        let raw = signed(&mut zone, row, &author, now.0 / 1000 - 60);
        let local = if envelope == domain { "ann" } else { "bounces+12" };
        let sender = Address::parse(&format!("{local}@{envelope}")).unwrap();
        let author = Address::parse(&author).unwrap();
        let provider = crate::types::Providers::default().gives_mailboxes(domain);
        let check = Check { raw: raw.as_bytes(), sender: Some(&sender), author: &author, now, provider, ..check() };
        let verifier = Verifier::new(name_server(zone).await, "relay.test");
        let found = verifier.verify(&check).await;
        assert_eq!(
            found.by(&RECIPIENTS[0]),
            want,
            "{who}: {} {:?}",
            found.summary(),
            found.weakness_to(&RECIPIENTS[0])
        );
        assert_eq!(found.signatures.len(), usize::from(want == By::Signature), "{who}");
        // The same to somebody whom it does not name, and nine days later, where it tells its age:
        // by its own envelope only.
        let ages = tags.contains("t=") || covered.to_lowercase().split(':').any(|name| name == "date");
        let other = [Address::parse("other@m.test").unwrap()];
        let elsewhere = Check { recipients: &other, ..check };
        let later = Check { now: now.plus(Duration::from_secs(9 * 86_400)), ..check };
        for (why, check, recipient) in [("to another", elsewhere, &other[0]), ("later", later, &RECIPIENTS[0])] {
            let by = verifier.verify(&check).await.by(recipient);
            let own = spf && envelope == domain;
            let left = if own { By::Spf } else { By::Nothing };
            let want = if why == "later" && !ages { want } else { left };
            assert_eq!(by, want, "{who}, {why}");
        }
    }
}
