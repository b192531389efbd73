//! The marketplace's rules as settings. What they do is in `crate::policy`.

use super::Size;
use serde::{Deserialize, Serialize};

/// `[policy]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether what is relayed carries a footer.
    pub footers: bool,
    /// How much a seller may send.
    pub quota: Quota,
    /// Messages that nobody asked for.
    pub opt_out: OptOut,
    /// How soon sellers have to answer.
    pub response: Response,
    /// What may be attached.
    pub attachments: Attachments,
    /// Traces in files that are taken out.
    pub metadata: Metadata,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            footers: true,
            quota: Quota::default(),
            opt_out: OptOut::default(),
            response: Response::default(),
            attachments: Attachments::default(),
            metadata: Metadata::default(),
        }
    }
}

/// `[policy.quota]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Messages a day for each average daily order.
    pub orders_factor: u32,
    /// Messages a day for every seller.
    pub base: u32,
    /// Days over which orders are averaged.
    pub window_days: u32,
    /// What happens over it.
    pub over: OverQuota,
}

impl Default for Quota {
    fn default() -> Self {
        Self { orders_factor: 5, base: 600, window_days: 30, over: OverQuota::Reject }
    }
}

/// What happens over quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverQuota {
    /// 550.
    #[default]
    Reject,
    /// 450: the sender's server tries again.
    Defer,
}

/// `[policy.opt_out]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptOut {
    /// Subject tags that let a message through, in any case.
    pub critical_tags: Vec<String>,
    /// So many messages a day a tag lets through for a seller, and one more for each order of his
    /// average day.
    pub critical_per_day: u32,
    /// The share of such messages of all that a seller sends in a day, in percent, from which on
    /// the operator is warned. 0: never.
    pub critical_share: u32,
    /// What the seller hears.
    pub answer: OptOutAnswer,
    /// How far back a thread that the buyer began still counts.
    pub thread_days: u32,
}

impl Default for OptOut {
    fn default() -> Self {
        let tags = ["[重要]", "[Important]", "[Wichtig]", "[Importante]", "[重要消息]"];
        Self {
            critical_tags: tags.map(str::to_owned).to_vec(),
            critical_per_day: 20,
            critical_share: 50,
            answer: OptOutAnswer::AutoReply,
            thread_days: 180,
        }
    }
}

/// What the seller of a blocked message hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptOutAnswer {
    /// 250, then an automatic reply.
    #[default]
    AutoReply,
    /// 550.
    Reject,
}

/// `[policy.response]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// Hours within which a seller has to answer a buyer's message, weekends and holidays included.
    pub deadline_hours: u32,
    /// Which of the seller's messages answer it.
    pub answered_by: AnsweredBy,
}

impl Default for Response {
    fn default() -> Self {
        Self { deadline_hours: 24, answered_by: AnsweredBy::Thread }
    }
}

/// Which of the seller's messages to a buyer answer a question of his. Answers of machines do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnsweredBy {
    /// Those in the question's thread.
    #[default]
    Thread,
    /// All of them.
    Pair,
}

/// `[policy.attachments]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    /// Whole message, as on the wire.
    pub max_message_size: Size,
    /// All attachments together, decoded.
    pub max_total: Size,
    /// How many.
    pub max_count: u32,
    /// Content types that are refused, by what the part says, and by what it and the files in it are. Two are ours: `application/x-encrypted` and
    /// `application/x-unlisted-archive`.
    pub forbidden_types: Vec<String>,
    /// File name extensions that are refused.
    pub forbidden_extensions: Vec<String>,
    /// What becomes of the author's own addresses in files.
    pub addresses_in_files: AddressesInFiles,
}

/// What becomes of the author's own addresses in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressesInFiles {
    /// Files are not looked through for them.
    Allow,
    /// They are replaced; a file in which that cannot be done goes, and its author is told.
    #[default]
    Notice,
    /// They are replaced; a file in which that cannot be done is refused.
    Refuse,
}

impl Default for Attachments {
    fn default() -> Self {
        let types = [
            "application/x-msdownload",
            "application/x-dosexec",
            "application/x-executable",
            "application/x-mach-binary",
            "application/vnd.microsoft.portable-executable",
            "application/x-msi",
            "application/x-ms-shortcut",
            "application/x-shellscript",
            "application/vnd.ms-htmlhelp",
            "application/vnd.ms-cab-compressed",
            "application/vnd.ms-office.vbaproject",
            "application/x-encrypted",
        ];
        let extensions = [
            "ade", "adp", "app", "appx", "bat", "cab", "chm", "cmd", "com", "cpl", "dll", "docm", "exe", "hta", "ins",
            "iso", "isp", "jar", "js", "jse", "lib", "lnk", "mde", "msc", "msi", "msp", "mst", "pif", "pptm", "ps1",
            "reg", "scr", "sct", "shb", "sys", "vb", "vbe", "vbs", "vhd", "vxd", "wsc", "wsf", "wsh", "xlsm",
        ];
        Self {
            max_message_size: Size::mib(25),
            max_total: Size::mib(10),
            max_count: 50,
            forbidden_types: types.map(str::to_owned).to_vec(),
            forbidden_extensions: extensions.map(str::to_owned).to_vec(),
            addresses_in_files: AddressesInFiles::Notice,
        }
    }
}

/// `[policy.metadata]`: each `true` takes the traces out of that kind of file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metadata {
    /// EXIF, XMP, GPS and comments in JPEG, PNG, WebP, HEIC, TIFF, GIF; place, device and moments in MP4 and MOV.
    pub pictures: bool,
    /// Author, creator, XMP, and who made remarks, in PDF.
    pub pdf: bool,
    /// Author, company, last editor, and who made remarks and changes, in docx, xlsx, pptx, odt; files in ZIP archives.
    pub office: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { pictures: true, pdf: true, office: true }
    }
}
