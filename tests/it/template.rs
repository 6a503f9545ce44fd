//! What the template has to say for the commands of the README to work.

use serde_json::Value;

const TEMPLATE: &str = include_str!("../../template.yaml");
const LOCAL: &str = include_str!("../../events/env.json");

#[test]
fn every_variable_for_sam_local_is_declared_in_the_template() {
    let local: Value = serde_json::from_str(LOCAL).unwrap();
    for (function, variables) in local.as_object().unwrap() {
        let (_, declared) = TEMPLATE.split_once(&format!("\n  {function}:\n")).unwrap();
        let (_, declared) = declared.split_once("Variables:\n").unwrap();
        let (declared, _) = declared.split_once("Policies:").unwrap();
        for variable in variables.as_object().unwrap().keys() {
            // `sam local` drops a variable that is not, without a word, and the
            // function would talk to AWS.
            assert!(declared.contains(&format!(" {variable}: ")), "{variable}");
        }
    }
}

#[test]
fn the_code_has_the_routes_of_the_template() {
    let mut lines = TEMPLATE.lines().map(str::trim);
    let mut routes = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(method) = line.strip_prefix("Method: ") {
            let path = lines.next().and_then(|line| line.strip_prefix("Path: "));
            routes.push(format!(
                "{method} {}",
                path.expect("a path after the method")
            ));
        }
    }
    routes.sort();
    let mut known = campaigns::http::PATHS
        .map(|path| match path.parameter {
            Some(parameter) => format!("{} {}{{{parameter}}}", path.method, path.text),
            None => format!("{} {}", path.method, path.text),
        })
        .to_vec();
    known.sort();
    assert_eq!(routes, known);
}
