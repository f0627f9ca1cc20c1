-- The metrics of each landing date, from bronze.order_items. Nothing is in quarantine: of a clean feed every line is valid.

create view bronze.metrics as
with orders as (
    select
        landing_date, order_id, max(market) as market, count(*) as items,
        bool_or(order_status not in ('CANCELED', 'SUSPECTED_FRAUD')) as is_counted,
        sum(order_item_total) filter (order_status not in ('CANCELED', 'SUSPECTED_FRAUD')) as revenue,
        sum(order_profit_per_order) filter (order_status not in ('CANCELED', 'SUSPECTED_FRAUD')) as profit,
        sum(order_item_product_price) as prices, count(order_item_product_price) as priced,
        bool_or(late_delivery_risk) as is_late,
        bool_or(order_status = 'CANCELED') as is_canceled,
        bool_or(order_status = 'SUSPECTED_FRAUD') as is_fraud
    from bronze.order_items
    group by all
),
measured as (
    select
        landing_date, coalesce(market, '') as dimension, count(*) as orders, sum(items) as items,
        coalesce(sum(revenue), 0) as revenue, coalesce(sum(profit), 0) as profit,
        sum(prices) / nullif(sum(priced), 0) as price, count_if(is_counted) as counted, count_if(is_late) as late,
        count_if(is_canceled) as canceled, count_if(is_fraud) as fraud
    from orders
    group by grouping sets ((landing_date), (landing_date, market))
),
pairs as (
    select landing_date, dimension, unnest([
        {metric: 'orders', value: orders::double},
        {metric: 'revenue', value: revenue::double},
        {metric: 'average_order_value', value: round(revenue / nullif(counted, 0), 2)::double}
    ], recursive := true)
    from measured
    union all
    select landing_date, dimension, unnest([
        {metric: 'landed_lines', value: items::double},
        {metric: 'valid_lines', value: items::double},
        {metric: 'quarantined_lines', value: 0::double},
        {metric: 'profit', value: profit::double},
        {metric: 'items_per_order', value: round(items / orders, 6)::double},
        {metric: 'average_price', value: round(price, 2)::double},
        {metric: 'late_share', value: round(late / orders, 6)::double},
        {metric: 'canceled_share', value: round(canceled / orders, 6)::double},
        {metric: 'fraud_share', value: round(fraud / orders, 6)::double}
    ], recursive := true)
    from measured
    where dimension = ''
),
nulls as (
    unpivot (
        select landing_date, avg((columns(getvariable('null_columns')) is null)::int)
        from bronze.order_items
        group by landing_date
    )
    on columns(* exclude (landing_date)) into name dimension value value
)
select landing_date, metric, dimension, value from pairs where value is not null
union all
select landing_date, 'null_share' as metric, dimension, round(value, 6) as value from nulls;
