//! Reading policies, with every check that ECR makes. What is wrong is named by policy, rule and field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Action, Count, Entry, EntryRules, Policies, Policy, Rule, RuleName, Selection, StorageClass, TagSelection,
    UnreadRule,
};
use crate::pattern::Pattern;
use crate::strict_json;

/// The most rules of a policy. See <https://docs.aws.amazon.com/general/latest/gr/ecr.html>.
const RULES: usize = 50;
/// The most wildcards of a tag pattern.
const WILDCARDS: usize = 4;
/// The fewest days that an image is billed for in archive storage, and so kept there.
const DAYS_IN_ARCHIVE: u32 = 90;

/// The fields of a rule.
const RULE: [&str; 4] = ["rulePriority", "description", "selection", "action"];
/// The fields of its selection.
const SELECTION: [&str; 8] = [
    "tagStatus",
    "tagPatternList",
    "tagPrefixList",
    "tagPatternExcludeList",
    "storageClass",
    "countType",
    "countUnit",
    "countNumber",
];

/// A policy that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{at}` can't be {}; accepted: {accepted}", .given.as_ref().map_or("left out".to_owned(), Value::to_string))]
pub struct InvalidPolicy {
    /// Where it is wrong: `[0].rules[1].selection.countUnit`.
    pub at: String,
    /// What stands there; `None` where nothing does.
    pub given: Option<Value>,
    /// What may stand there.
    pub accepted: String,
}

/// A value with its place in the document.
#[derive(Clone)]
struct At<'a> {
    path: String,
    value: &'a Value,
}

impl Policies {
    /// Reads the list of policies that the settings take.
    ///
    /// # Errors
    /// When anything in it is not as ECR, or this program, documents it.
    pub fn read(list: &Value) -> Result<Self, InvalidPolicy> {
        const ENTRY: &str = r#"{ "repositories": [patterns], "rules": [ECR lifecycle policy rules], or "ecr" for the repository's own policy }"#;
        let list = At { path: String::new(), value: list };
        let entries = list.items(&format!("a list of {ENTRY}"))?;
        let read = |(number, entry): (usize, At<'_>)| {
            let fields = entry.fields(&["repositories", "rules"], ENTRY)?;
            let repositories = fields.required("repositories", "a list of patterns for names of repositories")?;
            let repositories =
                repositories.patterns("patterns for names of repositories", Pattern::for_repositories)?;
            let rules = fields.required("rules", "a list of rules, or \"ecr\"")?;
            let rules = if rules.value == "ecr" {
                EntryRules::OfRepository
            } else {
                EntryRules::Given(Arc::new(Policy::of_rules(&rules, Some(number + 1))?))
            };
            Ok(Entry { repositories, rules })
        };
        let entries: Vec<Entry> = entries.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err(list.refuse("at least one policy; leave it out to keep the newest images by number"));
        }
        Ok(Self { entries, document: list.value.clone() })
    }
}

impl Policy {
    /// Reads the document that ECR has for a repository, as far as it can be read: ECR accepted all of it once. A rule
    /// that is odd takes nothing, and holds what it may select from the rules after it.
    ///
    /// # Errors
    /// When it is no list of rules at all.
    pub fn of_repository(text: &str) -> Result<Self, InvalidPolicy> {
        let document = strict_json::read(text).map_err(|_| InvalidPolicy {
            at: "lifecyclePolicyText".to_owned(),
            given: Some(Value::from(text)),
            accepted: "JSON that has every key once".to_owned(),
        })?;
        let document = At { path: "lifecyclePolicyText".to_owned(), value: &document };
        let list = document.fields(&["rules"], "{ \"rules\": [rules] }")?.required("rules", "a list of rules")?;
        let (mut rules, mut unread, mut seen) = (Vec::new(), Vec::new(), Seen::default());
        for item in list.items("a list of rules")? {
            let rule = read_rule(&item, None).and_then(|rule| seen.check(&item, &rule).map(|()| rule));
            rules.push(rule.unwrap_or_else(|why| {
                let rule = Rule::unread(&item);
                unread.push(UnreadRule { name: Arc::clone(&rule.name), why });
                rule
            }));
        }
        // Of two rules of one priority that which can't be read comes first, since it may shield from the other.
        rules.sort_by_key(|rule| (rule.name.priority, rule.count != Count::Nothing));
        Ok(Self { rules, unread })
    }

    fn of_rules(list: &At<'_>, policy: Option<usize>) -> Result<Self, InvalidPolicy> {
        let items = list.items("a list of rules, or \"ecr\"")?;
        if items.is_empty() || items.len() > RULES {
            return Err(list.refuse(&format!("1 to {RULES} rules")));
        }
        let mut rules = Vec::new();
        let mut seen = Seen::default();
        for item in items {
            let rule = read_rule(&item, policy)?;
            seen.check(&item, &rule)?;
            rules.push(rule);
        }
        rules.sort_by_key(|rule| rule.name.priority);
        Ok(Self { rules, unread: Vec::new() })
    }
}

impl Rule {
    /// What a rule is that can't be read: it takes nothing, and shields from the rules after it what it selects, since ECR
    /// does the same. Where its selection can't be read either, it may select anything, so that it shields everything; and
    /// where its priority can't be, it comes before all others.
    fn unread(rule: &At<'_>) -> Self {
        let field = |name: &str| rule.value.get(name);
        let priority = field("rulePriority").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let description = field("description").and_then(Value::as_str).unwrap_or_default();
        let name = RuleName { policy: None, priority: priority.unwrap_or_default(), description: description.into() };
        let (tags, exclude) = read_selected_tags(rule).unwrap_or((TagSelection::Any, Vec::new()));
        let selection = Selection { tags, exclude, storage_class: None };
        Self { name: Arc::new(name), selection, count: Count::Nothing, action: Action::Expire }
    }
}

/// The tags that a rule selects, if nothing is unknown in it that may select more.
fn read_selected_tags(rule: &At<'_>) -> Result<(TagSelection, Vec<Pattern>), InvalidPolicy> {
    let selection = rule.fields(&RULE, "")?.required("selection", "")?;
    let fields = selection.fields(&SELECTION, "")?;
    let tags = read_tags(&selection, &fields)?;
    let exclude = read_exclude(&fields, &tags)?;
    Ok((tags, exclude))
}

fn read_rule(rule: &At<'_>, policy: Option<usize>) -> Result<Rule, InvalidPolicy> {
    let fields = rule.fields(&RULE, "a rule of rulePriority, description, selection and action")?;
    let priority = fields.required("rulePriority", "an integer from 1")?;
    let priority = priority.integer(1, "an integer from 1")?;
    let description = match fields.get("description") {
        Some(description) => description.text("a text")?,
        None => "",
    };
    let selection = fields.required("selection", "an object of tagStatus, countType and what belongs to them")?;
    let action = fields
        .required("action", r#"{ "type": "expire" } or { "type": "transition", "targetStorageClass": "archive" }"#)?;
    let action = read_action(&action)?;
    let (selection, count) = read_selection(&selection, action)?;
    let name = Arc::new(RuleName { policy, priority, description: description.into() });
    Ok(Rule { name, selection, count, action })
}

fn read_action(action: &At<'_>) -> Result<Action, InvalidPolicy> {
    let fields = action.fields(&["type", "targetStorageClass"], "type, and targetStorageClass with transition")?;
    let kind = fields.required("type", "expire or transition")?;
    let target = fields.get("targetStorageClass");
    match (kind.text("expire or transition")?, target) {
        ("expire", None) => Ok(Action::Expire),
        ("expire", Some(target)) => Err(target.refuse("nothing with expire")),
        ("transition", Some(target)) if target.value == "archive" => Ok(Action::Archive),
        ("transition", Some(target)) => Err(target.refuse("archive")),
        ("transition", None) => Err(action.refuse("a targetStorageClass of archive with transition")),
        _ => Err(kind.refuse("expire or transition")),
    }
}

fn read_selection(selection: &At<'_>, action: Action) -> Result<(Selection, Count), InvalidPolicy> {
    const COUNT_TYPES: &str = "imageCountMoreThan, sinceImagePushed, sinceImagePulled or sinceImageTransitioned";
    let fields = selection.fields(
        &SELECTION,
        "an object of tagStatus, tagPatternList or tagPrefixList, tagPatternExcludeList, storageClass, countType, countUnit and countNumber",
    )?;
    let tags = read_tags(selection, &fields)?;
    let exclude = read_exclude(&fields, &tags)?;

    let count_type = fields.required("countType", COUNT_TYPES)?;
    let kind = count_type.text(COUNT_TYPES)?;
    if !["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"].contains(&kind) {
        return Err(count_type.refuse(COUNT_TYPES));
    }
    let unit = fields.get("countUnit");
    let number = fields.required("countNumber", "an integer from 0")?;
    match (kind, &unit) {
        ("imageCountMoreThan", Some(unit)) => return Err(unit.refuse("nothing with imageCountMoreThan")),
        ("imageCountMoreThan", None) => {}
        (_, Some(unit)) if unit.value == "days" => {}
        (_, Some(unit)) => return Err(unit.refuse("days")),
        (_, None) => return Err(selection.refuse(&format!("a countUnit of days with {kind}"))),
    }
    let integer = |from| number.integer(from, &format!("an integer from {from} to {}", u32::MAX));
    let (count, stored_in) = match kind {
        "imageCountMoreThan" => (Count::ImageCountMoreThan(integer(0)?), StorageClass::Standard),
        "sinceImagePushed" => (Count::SinceImagePushed(integer(0)?), StorageClass::Standard),
        "sinceImagePulled" => (Count::SinceImagePulled(integer(0)?), StorageClass::Standard),
        "sinceImageTransitioned" => (Count::SinceImageTransitioned(integer(DAYS_IN_ARCHIVE)?), StorageClass::Archive),
        _ => return Err(count_type.refuse(COUNT_TYPES)),
    };
    let storage_class = match fields.get("storageClass") {
        None if stored_in == StorageClass::Standard => StorageClass::Standard,
        None => return Err(selection.refuse(&format!("a storageClass of archive with {kind}"))),
        Some(class) => match (class.text("standard or archive")?, stored_in) {
            ("standard", StorageClass::Standard) => StorageClass::Standard,
            ("archive", StorageClass::Archive) => StorageClass::Archive,
            (_, StorageClass::Standard) => return Err(class.refuse(&format!("standard with {kind}"))),
            (_, StorageClass::Archive) => return Err(class.refuse(&format!("archive with {kind}"))),
        },
    };
    if storage_class == StorageClass::Archive && action == Action::Archive {
        return Err(count_type.refuse("another countType with transition: what is archived can only expire"));
    }
    Ok((Selection { tags, exclude, storage_class: Some(storage_class) }, count))
}

fn read_exclude(fields: &Fields<'_>, tags: &TagSelection) -> Result<Vec<Pattern>, InvalidPolicy> {
    match fields.get("tagPatternExcludeList") {
        None => Ok(Vec::new()),
        Some(list) if *tags == TagSelection::Untagged => Err(list.refuse("nothing with the tagStatus untagged")),
        Some(list) => list.patterns("tag patterns", tag_pattern),
    }
}

fn read_tags(selection: &At<'_>, fields: &Fields<'_>) -> Result<TagSelection, InvalidPolicy> {
    let status = fields.required("tagStatus", "tagged, untagged or any")?;
    let lists = (fields.get("tagPatternList"), fields.get("tagPrefixList"));
    match (status.text("tagged, untagged or any")?, lists) {
        ("tagged", (Some(list), None)) => Ok(TagSelection::Tagged(list.patterns("tag patterns", tag_pattern)?)),
        ("tagged", (None, Some(list))) => {
            let prefix = |prefix: &str| match prefix.find('*') {
                None if !prefix.is_empty() => tag_pattern(&format!("{prefix}*")),
                _ => Err(format!("`{prefix}` is no prefix: it is to stand for itself, without a wildcard")),
            };
            Ok(TagSelection::Tagged(list.patterns("tag prefixes", prefix)?))
        }
        ("tagged", (Some(_), Some(list))) => Err(list.refuse("nothing beside a tagPatternList")),
        ("tagged", (None, None)) => {
            Err(selection.refuse("a tagPatternList or a tagPrefixList with the tagStatus tagged"))
        }
        ("untagged" | "any", (Some(list), _) | (None, Some(list))) => {
            Err(list.refuse("nothing unless the tagStatus is tagged"))
        }
        ("untagged", (None, None)) => Ok(TagSelection::Untagged),
        ("any", (None, None)) => Ok(TagSelection::Any),
        _ => Err(status.refuse("tagged, untagged or any")),
    }
}

fn tag_pattern(pattern: &str) -> Result<Pattern, String> {
    if pattern.matches('*').count() > WILDCARDS {
        return Err(format!("`{pattern}` has more than {WILDCARDS} wildcards"));
    }
    Pattern::for_tags(pattern).map_err(|error| error.to_string())
}

/// What ECR allows once in a policy.
#[derive(Default)]
struct Seen {
    priorities: BTreeSet<u32>,
    /// By storage class: the priority of the rule for any image, and the highest of the others.
    any: BTreeMap<StorageClass, u32>,
    others: BTreeMap<StorageClass, u32>,
    untagged: BTreeSet<StorageClass>,
    prefixes: BTreeSet<(StorageClass, String)>,
}

impl Seen {
    fn check(&mut self, item: &At<'_>, rule: &Rule) -> Result<(), InvalidPolicy> {
        let Rule { name, selection: Selection { tags, exclude: _, storage_class }, count: _, action: _ } = rule;
        let (Some(class), priority) = (*storage_class, name.priority) else { return Ok(()) };
        let field = |path: &[&str]| {
            path.iter()
                .fold(item.clone(), |at, name| At { path: format!("{}.{name}", at.path), value: &at.value[*name] })
        };
        if !self.priorities.insert(priority) {
            return Err(field(&["rulePriority"]).refuse("a priority that no other rule of the policy has"));
        }
        match tags {
            TagSelection::Any => {
                if self.any.insert(class, priority).is_some() {
                    return Err(
                        field(&["selection", "tagStatus"]).refuse("any in at most one rule of each storage class")
                    );
                }
            }
            TagSelection::Untagged => {
                if !self.untagged.insert(class) {
                    return Err(
                        field(&["selection", "tagStatus"]).refuse("untagged in at most one rule of each storage class")
                    );
                }
            }
            TagSelection::Tagged(_) => {
                let list = field(&["selection", "tagPrefixList"]);
                for prefix in list.value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !self.prefixes.insert((class, prefix.to_owned())) {
                        return Err(list.refuse("prefixes that no other rule of the policy has"));
                    }
                }
            }
        }
        if *tags != TagSelection::Any {
            let highest = self.others.entry(class).or_default();
            *highest = priority.max(*highest);
        }
        match (self.any.get(&class), self.others.get(&class)) {
            (Some(any), Some(other)) if any < other => Err(field(&["rulePriority"])
                .refuse("priorities below that of the rule whose tagStatus is any: it comes last")),
            _ => Ok(()),
        }
    }
}

/// The fields of an object.
struct Fields<'a> {
    object: At<'a>,
    fields: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<At<'a>> {
        let value = self.fields.get(name)?;
        Some(At { path: format!("{}.{name}", self.object.path), value })
    }

    fn required(&self, name: &str, accepted: &str) -> Result<At<'a>, InvalidPolicy> {
        self.get(name).ok_or_else(|| InvalidPolicy {
            at: format!("{}.{name}", self.object.path),
            given: None,
            accepted: accepted.to_owned(),
        })
    }
}

impl<'a> At<'a> {
    fn refuse(&self, accepted: &str) -> InvalidPolicy {
        InvalidPolicy { at: self.path.clone(), given: Some(self.value.clone()), accepted: accepted.to_owned() }
    }

    fn items(&self, accepted: &str) -> Result<Vec<At<'a>>, InvalidPolicy> {
        let items = self.value.as_array().ok_or_else(|| self.refuse(accepted))?;
        let item = |(place, value)| At { path: format!("{}[{place}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The fields of an object that has no others than these.
    fn fields(&self, known: &[&str], accepted: &str) -> Result<Fields<'a>, InvalidPolicy> {
        let fields = self.value.as_object().ok_or_else(|| self.refuse(accepted))?;
        if let Some((name, value)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let unknown = At { path: format!("{}.{name}", self.path), value };
            return Err(unknown.refuse(&format!("only {}", known.join(", "))));
        }
        Ok(Fields { object: self.clone(), fields })
    }

    fn text(&self, accepted: &str) -> Result<&'a str, InvalidPolicy> {
        self.value.as_str().ok_or_else(|| self.refuse(accepted))
    }

    fn integer(&self, from: u32, accepted: &str) -> Result<u32, InvalidPolicy> {
        let integer = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        integer.filter(|number| *number >= from).ok_or_else(|| self.refuse(accepted))
    }

    fn patterns<E: std::fmt::Display>(
        &self,
        noun: &str,
        pattern: impl Fn(&str) -> Result<Pattern, E>,
    ) -> Result<Vec<Pattern>, InvalidPolicy> {
        let accepted = format!("a list of {noun} that is not empty");
        let items = self.items(&accepted)?;
        if items.is_empty() {
            return Err(self.refuse(&accepted));
        }
        items
            .into_iter()
            .map(|item| pattern(item.text("a text")?).map_err(|error| item.refuse(&format!("{noun}; {error}"))))
            .collect()
    }
}
