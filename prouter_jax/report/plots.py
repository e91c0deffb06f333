"""The plots of a report, in the order of the page."""

from prouter_jax.report.drawing import Plot
from prouter_jax.report.plots_map import plot_user_map
from prouter_jax.report.plots_policies import plot_effect_cost, plot_paired, plot_reward
from prouter_jax.report.plots_users import plot_gain_by_user, plot_shares
from prouter_jax.report.types import Report


def draw_plots(report: Report) -> list[Plot]:
    """All plots that the report has numbers for."""
    plots = [plot_reward, plot_effect_cost, plot_gain_by_user, plot_shares, plot_user_map, plot_paired]
    return [drawn for plot in plots if (drawn := plot(report)) is not None]
