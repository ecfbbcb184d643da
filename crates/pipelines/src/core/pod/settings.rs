//! An executor's settings of the platform document, with what they refer to put in.

use serde_json::{Map, Value, json};

use super::entries;
use crate::core::{
    fault::Fault,
    ir::{self, Task},
    resolve::{self, Scope},
    value::describe,
};

/// Names that may be given as a parameter: the list, the field with the parameter, and the field with the name.
const NAMES: [(&str, &str, &str); 6] = [
    ("secretAsVolume", "secretNameParameter", "secretName"),
    ("secretAsEnv", "secretNameParameter", "secretName"),
    ("imagePullSecret", "secretNameParameter", "secretName"),
    ("configMapAsVolume", "configMapNameParameter", "configMapName"),
    ("configMapAsEnv", "configMapNameParameter", "configMapName"),
    ("pvcMount", "pvcNameParameter", "pvcName"),
];

/// The settings of an executor for one task: parameters that they refer to are resolved in the task's DAG, and items
/// whose parameter is optional and has no value are left out.
///
/// # Errors
/// Where a parameter is missing or of another type.
pub fn settings(
    config: &Map<String, Value>,
    key: &str,
    task: &Task,
    scope: &dyn Scope,
) -> Result<Map<String, Value>, Fault> {
    let resolver = Resolver { key, task, scope };
    let mut settings = config.clone();
    for (list, parameter, name) in NAMES {
        let mut resolved = Vec::new();
        for (index, item) in entries(config, list).iter().enumerate() {
            let at = format!("platforms.kubernetes.{list}[{index}]");
            resolved.extend(resolver.named(&at, item, parameter, name)?);
        }
        if !resolved.is_empty() {
            settings.insert(list.to_owned(), resolved.into());
        } else {
            settings.remove(list);
        }
    }
    if let Some(source) = config.get("nodeSelector").and_then(|selector| selector.get("nodeSelectorJson")) {
        settings.remove("nodeSelector");
        let at = "platforms.kubernetes.nodeSelector.nodeSelectorJson";
        if let Some(labels) = resolver.value(at, source)? {
            settings.insert("nodeSelector".to_owned(), json!({"labels": object(at, labels)?}));
        }
    }
    let mut tolerations = Vec::new();
    for (index, item) in entries(config, "tolerations").iter().enumerate() {
        let at = format!("platforms.kubernetes.tolerations[{index}].tolerationJson");
        match item.get("tolerationJson") {
            None => tolerations.push(item.clone()),
            Some(source) => match resolver.value(&at, source)? {
                None => {}
                Some(Value::Array(items)) => tolerations.extend(items),
                Some(Value::Object(fields)) if fields.is_empty() => {}
                Some(item @ Value::Object(_)) => tolerations.push(item),
                Some(other) => {
                    return Err(Fault::new(at, format!("must be an object or a list, not {}", describe(&other))));
                }
            },
        }
    }
    settings.insert("tolerations".to_owned(), tolerations.into());
    let mut affinity = Vec::new();
    for (index, item) in entries(config, "nodeAffinity").iter().enumerate() {
        let at = format!("platforms.kubernetes.nodeAffinity[{index}].nodeAffinityJson");
        match item.get("nodeAffinityJson") {
            None => affinity.push(item.clone()),
            Some(source) => {
                if let Some(value) = resolver.value(&at, source)? {
                    affinity.push(json!({"nodeAffinityJson": object(&at, value)?}));
                }
            }
        }
    }
    settings.insert("nodeAffinity".to_owned(), affinity.into());
    Ok(settings)
}

fn object(at: &str, value: Value) -> Result<Value, Fault> {
    if value.is_object() {
        Ok(value)
    } else {
        Err(Fault::new(at, format!("must be an object, not {}", describe(&value))))
    }
}

struct Resolver<'a> {
    key: &'a str,
    task: &'a Task,
    scope: &'a dyn Scope,
}

impl Resolver<'_> {
    /// A parameter's value; `None` for one that has none.
    fn value(&self, at: &str, source: &Value) -> Result<Option<Value>, Fault> {
        let source = ir::parameter_source(at, source)?;
        let found = resolve::parameter(self.key, self.task, &source, self.scope);
        Ok(found.map_err(|what| Fault::new(at, what))?.filter(|value| !value.is_null()))
    }

    /// An item with its name put in; `None` where it has none.
    fn named(&self, at: &str, item: &Value, parameter: &str, name: &str) -> Result<Option<Value>, Fault> {
        let mut fields = item.as_object().cloned().unwrap_or_default();
        let old = (name == "pvcName").then(|| old_source(&mut fields)).flatten();
        let Some(source) = fields.remove(parameter).or(old) else {
            if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(Fault::new(at, format!("needs {name} or {parameter}")));
            }
            return Ok(Some(fields.into()));
        };
        match self.value(&format!("{at}.{parameter}"), &source)? {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => {
                fields.insert(name.to_owned(), text.into());
                Ok(Some(fields.into()))
            }
            Some(other) => {
                let what = format!("must be a string with something in it, not {}", describe(&other));
                Err(Fault::new(format!("{at}.{parameter}"), what))
            }
        }
    }
}

/// The deprecated ways to name a claim, as the present one.
fn old_source(fields: &mut Map<String, Value>) -> Option<Value> {
    let constant = fields.remove("constant").map(|name| json!({"runtimeValue": {"constant": name}}));
    let output = fields.remove("taskOutputParameter").map(|from| json!({"taskOutputParameter": from}));
    let input = fields.remove("componentInputParameter").map(|from| json!({"componentInputParameter": from}));
    constant.or(output).or(input)
}
