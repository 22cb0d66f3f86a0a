//! Parses policies, with all of ECR's checks. An error has the path of the invalid field.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Action, Count, Entry, EntryRules, InvalidPolicy, Policies, Policy, Rule, RuleName, Selection, StorageClass,
    TagSelection, UnreadRule,
};
use crate::pattern::Pattern;
use crate::strict_json;

/// The maximum number of rules of a policy. See <https://docs.aws.amazon.com/general/latest/gr/ecr.html>.
const RULES: usize = 50;
/// The maximum number of wildcards of a tag pattern.
const WILDCARDS: usize = 4;
/// The minimum number of days that ECR bills for an archived image, and so the minimum age for its expiry.
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

/// A value with its path in the document.
#[derive(Clone)]
struct At<'a> {
    path: String,
    value: &'a Value,
}

impl Policies {
    /// Reads the list of policies of the setting `policies`.
    ///
    /// # Errors
    /// If anything in it is not valid by ECR's documentation or this program's.
    pub fn read(list: &Value) -> Result<Self, InvalidPolicy> {
        const ENTRY: &str = r#"{ "repositories": [patterns], "rules": [ECR lifecycle policy rules], or "ecr" for the repository's own policy }"#;
        let list = At { path: String::new(), value: list };
        let entries = list.items(&format!("a list of {ENTRY}"))?;
        let read = |(number, entry): (usize, At<'_>)| {
            let fields = entry.fields(&["repositories", "rules"], ENTRY)?;
            let repositories = fields.required("repositories", "a list of repository patterns")?;
            let pattern = |pattern: &str| Pattern::for_repositories(pattern).map_err(|error| error.problem());
            let repositories = repositories.patterns("repository patterns", pattern)?;
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
            return Err(list.refuse("at least one policy. To keep the newest images by number, leave it out"));
        }
        Ok(Self { entries, document: list.value.clone() })
    }
}

impl Policy {
    /// Reads the document that ECR stores for a repository. ECR has accepted all of it, so an unknown rule is not an error.
    /// Such a rule acts on no image, and shields the images that it may select from later rules.
    ///
    /// # Errors
    /// If it has no list of rules.
    pub fn of_repository(text: &str) -> Result<Self, InvalidPolicy> {
        let document = strict_json::read(text).map_err(|_| InvalidPolicy {
            at: "lifecyclePolicyText".to_owned(),
            given: Some(Value::from(text)),
            problem: "expected JSON without duplicate keys".to_owned(),
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
        // If two rules have the same priority, the unread one comes first, since it may shield images from the other.
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
    /// The substitute for a rule that can't be read. It acts on no image, and shields the images that it selects from later
    /// rules, as ECR does. If its selection can't be read, it may select any image, so it shields all images. If its
    /// priority can't be read, it comes before all other rules.
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

/// The tags that a rule selects. An error if the rule has an unknown field, since it may then select more images.
fn read_selected_tags(rule: &At<'_>) -> Result<(TagSelection, Vec<Pattern>), InvalidPolicy> {
    let selection = rule.fields(&RULE, "")?.required("selection", "")?;
    let fields = selection.fields(&SELECTION, "")?;
    let tags = read_tags(&selection, &fields)?;
    let exclude = read_exclude(&fields, &tags)?;
    Ok((tags, exclude))
}

fn read_rule(rule: &At<'_>, policy: Option<usize>) -> Result<Rule, InvalidPolicy> {
    let fields = rule.fields(&RULE, "a rule with rulePriority, selection, action and an optional description")?;
    let priority = fields.required("rulePriority", "a whole number from 1")?;
    let priority = priority.integer(1, "a whole number from 1")?;
    let description = match fields.get("description") {
        Some(description) => description.text("a string")?,
        None => "",
    };
    let selection = fields.required("selection", "an object with tagStatus, countType and countNumber")?;
    let action = fields
        .required("action", r#"{ "type": "expire" } or { "type": "transition", "targetStorageClass": "archive" }"#)?;
    let action = read_action(&action)?;
    let (selection, count) = read_selection(&selection, action)?;
    let name = Arc::new(RuleName { policy, priority, description: description.into() });
    Ok(Rule { name, selection, count, action })
}

fn read_action(action: &At<'_>) -> Result<Action, InvalidPolicy> {
    let fields = action
        .fields(&["type", "targetStorageClass"], "an object with type and, for transition, targetStorageClass")?;
    let kind = fields.required("type", "expire or transition")?;
    let target = fields.get("targetStorageClass");
    match (kind.text("expire or transition")?, target) {
        ("expire", None) => Ok(Action::Expire),
        ("expire", Some(target)) => Err(target.forbid("with the type expire")),
        ("transition", Some(target)) if target.value == "archive" => Ok(Action::Archive),
        ("transition", Some(target)) => Err(target.refuse("archive")),
        ("transition", None) => Err(action.refuse("the targetStorageClass archive with the type transition")),
        _ => Err(kind.refuse("expire or transition")),
    }
}

fn read_selection(selection: &At<'_>, action: Action) -> Result<(Selection, Count), InvalidPolicy> {
    const COUNT_TYPES: &str = "imageCountMoreThan, sinceImagePushed, sinceImagePulled or sinceImageTransitioned";
    let fields = selection.fields(
        &SELECTION,
        "an object with tagStatus, tagPatternList or tagPrefixList, tagPatternExcludeList, storageClass, countType, countUnit and countNumber",
    )?;
    let tags = read_tags(selection, &fields)?;
    let exclude = read_exclude(&fields, &tags)?;

    let count_type = fields.required("countType", COUNT_TYPES)?;
    let kind = count_type.text(COUNT_TYPES)?;
    if !["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"].contains(&kind) {
        return Err(count_type.refuse(COUNT_TYPES));
    }
    let unit = fields.get("countUnit");
    let number = fields.required("countNumber", "a whole number from 0")?;
    match (kind, &unit) {
        ("imageCountMoreThan", Some(unit)) => return Err(unit.forbid("with the countType imageCountMoreThan")),
        ("imageCountMoreThan", None) => {}
        (_, Some(unit)) if unit.value == "days" => {}
        (_, Some(unit)) => return Err(unit.refuse("days")),
        (_, None) => return Err(selection.refuse(&format!("the countUnit days with the countType {kind}"))),
    }
    let integer = |from| number.integer(from, &format!("a whole number from {from} to {}", u32::MAX));
    let (count, stored_in) = match kind {
        "imageCountMoreThan" => (Count::ImageCountMoreThan(integer(0)?), StorageClass::Standard),
        "sinceImagePushed" => (Count::SinceImagePushed(integer(0)?), StorageClass::Standard),
        "sinceImagePulled" => (Count::SinceImagePulled(integer(0)?), StorageClass::Standard),
        "sinceImageTransitioned" => (Count::SinceImageTransitioned(integer(DAYS_IN_ARCHIVE)?), StorageClass::Archive),
        _ => return Err(count_type.refuse(COUNT_TYPES)),
    };
    let storage_class = match fields.get("storageClass") {
        None if stored_in == StorageClass::Standard => StorageClass::Standard,
        None => return Err(selection.refuse(&format!("the storageClass archive with the countType {kind}"))),
        Some(class) => match (class.text("standard or archive")?, stored_in) {
            ("standard", StorageClass::Standard) => StorageClass::Standard,
            ("archive", StorageClass::Archive) => StorageClass::Archive,
            (_, StorageClass::Standard) => return Err(class.refuse(&format!("standard with the countType {kind}"))),
            (_, StorageClass::Archive) => return Err(class.refuse(&format!("archive with the countType {kind}"))),
        },
    };
    if storage_class == StorageClass::Archive && action == Action::Archive {
        return Err(count_type.refuse("another countType with the action transition: archived images can only expire"));
    }
    Ok((Selection { tags, exclude, storage_class: Some(storage_class) }, count))
}

fn read_exclude(fields: &Fields<'_>, tags: &TagSelection) -> Result<Vec<Pattern>, InvalidPolicy> {
    match fields.get("tagPatternExcludeList") {
        None => Ok(Vec::new()),
        Some(list) if *tags == TagSelection::Untagged => Err(list.forbid("with the tagStatus untagged")),
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
                _ => Err("expected a prefix without a wildcard that is not empty".to_owned()),
            };
            Ok(TagSelection::Tagged(list.patterns("tag prefixes", prefix)?))
        }
        ("tagged", (Some(_), Some(list))) => Err(list.forbid("with a tagPatternList")),
        ("tagged", (None, None)) => {
            Err(selection.refuse("a tagPatternList or a tagPrefixList with the tagStatus tagged"))
        }
        ("untagged" | "any", (Some(list), _) | (None, Some(list))) => {
            Err(list.forbid("unless the tagStatus is tagged"))
        }
        ("untagged", (None, None)) => Ok(TagSelection::Untagged),
        ("any", (None, None)) => Ok(TagSelection::Any),
        _ => Err(status.refuse("tagged, untagged or any")),
    }
}

fn tag_pattern(pattern: &str) -> Result<Pattern, String> {
    if pattern.matches('*').count() > WILDCARDS {
        return Err(format!("expected at most {WILDCARDS} wildcards"));
    }
    Pattern::for_tags(pattern).map_err(|error| error.problem())
}

/// The values that ECR allows only once in a policy.
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
                    return Err(field(&["selection", "tagStatus"]).refuse("any in at most one rule per storage class"));
                }
            }
            TagSelection::Untagged => {
                if !self.untagged.insert(class) {
                    return Err(
                        field(&["selection", "tagStatus"]).refuse("untagged in at most one rule per storage class")
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
                .refuse("the largest rulePriority for the rule with the tagStatus any, so that it comes last")),
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
            problem: format!("expected {accepted}"),
        })
    }
}

impl<'a> At<'a> {
    fn refuse(&self, accepted: &str) -> InvalidPolicy {
        self.refuse_because(format!("expected {accepted}"))
    }

    /// An error for a field that is not allowed under this condition.
    fn forbid(&self, condition: &str) -> InvalidPolicy {
        self.refuse_because(format!("not allowed {condition}"))
    }

    fn refuse_because(&self, problem: String) -> InvalidPolicy {
        InvalidPolicy { at: self.path.clone(), given: Some(self.value.clone()), problem }
    }

    fn items(&self, accepted: &str) -> Result<Vec<At<'a>>, InvalidPolicy> {
        let items = self.value.as_array().ok_or_else(|| self.refuse(accepted))?;
        let item = |(place, value)| At { path: format!("{}[{place}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The fields of an object. Any field that is not in `known` is an error.
    fn fields(&self, known: &[&str], accepted: &str) -> Result<Fields<'a>, InvalidPolicy> {
        let fields = self.value.as_object().ok_or_else(|| self.refuse(accepted))?;
        if let Some((name, value)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let unknown = At { path: format!("{}.{name}", self.path), value };
            return Err(unknown.refuse_because(format!("unknown field. Expected one of {}", known.join(", "))));
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

    /// A list of patterns. The error of a pattern is the problem in it.
    fn patterns(
        &self,
        noun: &str,
        pattern: impl Fn(&str) -> Result<Pattern, String>,
    ) -> Result<Vec<Pattern>, InvalidPolicy> {
        let accepted = format!("a list of {noun} that is not empty");
        let items = self.items(&accepted)?;
        if items.is_empty() {
            return Err(self.refuse(&accepted));
        }
        items
            .into_iter()
            .map(|item| pattern(item.text("a string")?).map_err(|problem| item.refuse_because(problem)))
            .collect()
    }
}
