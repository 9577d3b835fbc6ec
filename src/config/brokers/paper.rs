//! The `paper:` section of an exchange file.
//!
//! The one place that knows its keys and the plan's defaults.

use std::time::Duration;

use rust_decimal::Decimal;

use super::super::problem::Report;
use super::super::section::{DecimalRange, Given, Section};
use super::settings::{PaperSettings, Slippage};
use crate::config::JOURNAL_FILE;
use crate::model::ExchangeName;

const BALANCE: Decimal = Decimal::from_parts(100_000, 0, 0, false, 0);
/// 0.0005: five hundredths of a percent.
const SLIPPAGE: Decimal = Decimal::from_parts(5, 0, 0, false, 4);
/// 0.001: a tenth of a percent.
const IMPACT_SLOPE: Decimal = Decimal::from_parts(1, 0, 0, false, 3);
/// 0.01: one percent.
const IMPACT_CEILING: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// 0.001: a tenth of a percent.
const COMMISSION: Decimal = Decimal::from_parts(1, 0, 0, false, 3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    None,
    Fixed,
    Percentage,
    Impact,
}

pub(super) const MODELS: [(&str, Model); 4] = [("none", Model::None), ("fixed", Model::Fixed), ("percentage", Model::Percentage), ("impact", Model::Impact)];

/// The settings, and where the exchange of the prices was named.
pub(super) fn read(mut section: Section, name: &ExchangeName, default_prices: &ExchangeName, report: &mut Report) -> (PaperSettings, Option<Given>) {
    let balance = section.text("initial_balance", report).and_then(|given| given.decimal(&DecimalRange::POSITIVE, report));
    let currency = section.text("base_currency", report).and_then(|given| currency(given, report));
    let milliseconds = |section: &mut Section, key, default, report: &mut Report| {
        Duration::from_millis(section.text(key, report).and_then(|given| given.whole(0..=60_000, report)).unwrap_or(default))
    };
    let latency = milliseconds(&mut section, "latency_ms", 50, report);
    let latency_jitter = milliseconds(&mut section, "latency_jitter_ms", 0, report);
    let slippage = slippage(&mut section, report);
    let commission = section.text("commission_rate", report).and_then(|given| given.decimal(&DecimalRange::FRACTION, report));
    let truth = |section: &mut Section, key, default, report: &mut Report| section.text(key, report).and_then(|given| given.truth(report)).unwrap_or(default);
    let regulatory_fees = truth(&mut section, "regulatory_fees", false, report);
    let margin = section.text("margin", report).and_then(|given| given.decimal(&DecimalRange::MARGIN, report));
    let shorting = truth(&mut section, "shorting", false, report);
    let extended_hours = truth(&mut section, "extended_hours", true, report);
    let partial_fills = truth(&mut section, "partial_fills", true, report);
    let random_partials = section.text("random_partials", report).and_then(|given| given.decimal(&DecimalRange::FRACTION, report));
    let queue = truth(&mut section, "queue", true, report);
    let prices = section.text("prices", report);
    let data_file = section.text("data_file", report).and_then(|given| data_file(given, report));
    let seed = section.text("seed", report).and_then(|given| given.whole(0..=u64::MAX, report));
    section.finish(report);
    let settings = PaperSettings {
        initial_balance: balance.unwrap_or(BALANCE),
        base_currency: currency.unwrap_or_else(|| "USD".to_owned()),
        latency,
        latency_jitter,
        slippage,
        commission_rate: commission.unwrap_or(COMMISSION),
        regulatory_fees,
        margin: margin.unwrap_or(Decimal::ONE),
        shorting,
        extended_hours,
        partial_fills,
        random_partials: random_partials.unwrap_or(Decimal::ZERO),
        queue,
        prices: default_prices.clone(),
        data_file: data_file.unwrap_or_else(|| default_file(name)),
        seed: seed.unwrap_or(1),
    };
    (settings, prices)
}

fn slippage(section: &mut Section, report: &mut Report) -> Slippage {
    let named = section.text("slippage_model", report);
    let model = named.as_ref().map_or(Some(Model::Percentage), |given| given.pick_of(&MODELS, report));
    let range = if matches!(model, Some(Model::Percentage | Model::Impact)) { &DecimalRange::FRACTION } else { &DecimalRange::NOT_NEGATIVE };
    let value = section.text("slippage_value", report).and_then(|given| given.decimal(range, report));
    let of_impact = ["impact_slope", "impact_ceiling"].map(|key| {
        let given = section.text(key, report)?;
        if model.is_some_and(|model| model != Model::Impact) {
            report.refuse(given.at.clone(), "counts with slippage_model: impact only; delete the line, or change the model");
        }
        let value = given.decimal(&DecimalRange::FRACTION, report)?;
        Some((given.at, value))
    });
    if model == Some(Model::Fixed)
        && value.is_none()
        && let Some(given) = &named
    {
        report.refuse(given.at.clone(), "found 'fixed' without a usable slippage_value; say how much money a unit costs more");
    }
    let [slope, ceiling] = of_impact;
    let base = value.unwrap_or(SLIPPAGE);
    match model.unwrap_or(Model::None) {
        Model::None => Slippage::None,
        Model::Fixed => Slippage::Fixed(base),
        Model::Percentage => Slippage::Percentage(base),
        Model::Impact => {
            let (at, ceiling) = ceiling.map_or((None, IMPACT_CEILING), |(at, value)| (Some(at), value));
            if base > ceiling {
                let at = at.or(named.map(|given| given.at)).unwrap_or_default();
                report.refuse(
                    at,
                    format!("the slippage of the smallest order ({base}) is more than impact_ceiling ({ceiling}); raise the one or lower the other"),
                );
            }
            Slippage::Impact { base, slope: slope.map_or(IMPACT_SLOPE, |(_, value)| value), ceiling }
        }
    }
}

fn currency(given: Given, report: &mut Report) -> Option<String> {
    let fits = (3..=5).contains(&given.text.len()) && given.text.bytes().all(|b| b.is_ascii_uppercase());
    if fits {
        return Some(given.text);
    }
    given.refuse(report, "a currency of 3 to 5 capital letters, such as USD or USDT");
    None
}

fn default_file(name: &ExchangeName) -> String {
    let file = format!("{name}.db");
    if file == JOURNAL_FILE { format!("{name}_paper.db") } else { file }
}

fn data_file(given: Given, report: &mut Report) -> Option<String> {
    let text = &given.text;
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !plain || text.starts_with('.') || text.len() > 64 || text.strip_suffix(".db").is_none_or(str::is_empty) {
        given.refuse(report, "a file name such as paper.db, without a folder: it stands in data_dir");
        return None;
    }
    if text == JOURNAL_FILE {
        report.refuse(given.at, format!("{JOURNAL_FILE} is the broker's own journal; give the account another file"));
        return None;
    }
    Some(given.text)
}
