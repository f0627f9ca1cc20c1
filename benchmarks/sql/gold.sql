-- Orders with their customer and product as they were then, and what all orders say about each customer and product.

create schema gold;

create table gold.orders_enriched as
select
    orders.*,
    customer_key,
    product_key,
    customer_firstname,
    customer_lastname,
    customer_email_hash,
    customer_segment,
    customer_zipcode,
    product_name,
    category_id,
    category_name,
    products.product_price as product_list_price,
    is_notavailable
from silver.orders as orders
left join silver.dim_customers as customers
    on orders.customer_id = customers.customer_id
    and customers.valid_from <= order_date
    and (customers.valid_to is null or order_date < customers.valid_to)
left join silver.dim_products as products
    on orders.product_id = products.product_id
    and products.valid_from <= order_date
    and (products.valid_to is null or order_date < products.valid_to);

create macro counts(order_status) as order_status not in ('CANCELED', 'SUSPECTED_FRAUD');
create macro as_of() as (select max(landing_date) + 1 from bronze.order_items);

-- A quotient of decimals is a DOUBLE here, so it is taken in whole numbers: rounded half-up, once, and exactly.
-- NULL without a denominator.
create macro units(number) as (number::decimal(18, 4) * 10000)::hugeint;
create macro quotient(numerator, denominator, factor) as sign(numerator) * sign(denominator)
    * ((2 * factor * abs(numerator) + abs(denominator)) // (2 * nullif(abs(denominator), 0)));
create macro money(numerator, denominator) as
    (quotient(units(numerator), units(denominator), 100)::decimal(18, 0) * 0.01)::decimal(18, 2);
create macro rate(numerator, denominator) as
    (quotient(units(numerator), units(denominator), 10000)::decimal(18, 0) * 0.0001)::decimal(18, 4);
create macro below(number, thresholds) as len(list_filter(thresholds, lambda threshold: threshold < number))::integer;

create table gold.customers360 as
with bought as (
    select
        customer_id,
        count(distinct order_id) as total_orders,
        coalesce(sum(line_total), 0) as total_revenue,
        coalesce(sum(line_profit), 0) as total_profit,
        min(order_date)::date as first_order_date,
        max(order_date)::date as latest_order_date
    from silver.orders
    where counts(order_status)
    group by customer_id
),
measures as (
    select
        customer_id,
        customer_firstname,
        customer_lastname,
        customer_segment,
        customer_zipcode,
        coalesce(total_orders, 0) as total_orders,
        coalesce(total_revenue, 0)::decimal(18, 2) as total_revenue,
        coalesce(total_profit, 0)::decimal(18, 2) as total_profit,
        money(total_revenue, total_orders) as avg_order_value,
        first_order_date,
        latest_order_date,
        (as_of() - latest_order_date)::integer as days_since_last_order
    from silver.dim_customers
    left join bought using (customer_id)
    where is_current
),
thresholds as (
    select
        quantile_disc(days_since_last_order, [0.2, 0.4, 0.6, 0.8]) as recency,
        quantile_disc(total_orders, [0.2, 0.4, 0.6, 0.8]) as frequency,
        quantile_disc(total_revenue, [0.2, 0.4, 0.6, 0.8]) as monetary
    from measures
    where total_orders > 0
),
scored as (
    select
        measures.*,
        case when total_orders > 0 then 5 - below(days_since_last_order, recency) else 1 end as r,
        case when total_orders > 0 then 1 + below(total_orders, frequency) else 1 end as f,
        case when total_orders > 0 then 1 + below(total_revenue, monetary) else 1 end as m
    from measures, thresholds
)
select
    * exclude (r, f, m),
    r as recency_score,
    f as frequency_score,
    m as monetary_score,
    concat(r, f, m) as rfm_score,
    case
        when total_orders = 0 then 'Prospects'
        when r >= 4 and f >= 4 and m >= 4 then 'Champions'
        when r <= 2 and f >= 4 and m >= 4 then 'Cannot Lose Them'
        when r >= 3 and f >= 3 and m >= 3 then 'Loyal Customers'
        when r <= 2 and f >= 3 and m >= 3 then 'At Risk'
        when r >= 4 and f >= 2 then 'Potential Loyalists'
        when r >= 4 then 'New Customers'
        when r = 1 and f = 1 then 'Lost Customers'
        else 'Hibernating'
    end as rfm_segment
from scored;

create table gold.products360 as
with items as (
    select *, order_date::date as order_day, counts(order_status) as counted
    from gold.orders_enriched
),
sold as (
    select
        product_id,
        count(distinct order_id) filter (counted) as total_orders,
        sum(quantity) filter (counted) as units_sold,
        coalesce(sum(line_total) filter (counted), 0) as total_revenue,
        coalesce(sum(line_profit) filter (counted), 0) as total_profit,
        rate(sum(discount_rate) filter (counted), count(discount_rate) filter (counted)) as avg_discount_rate,
        rate(sum(profit_ratio) filter (counted), count(profit_ratio) filter (counted)) as avg_profit_ratio,
        money(sum(product_price) filter (counted), count(product_price) filter (counted)) as avg_price_charged,
        rate(
            sum(shipping_date::date - order_day) filter (counted), count(shipping_date) filter (counted)
        ) as avg_order_cycle_days,
        rate(
            sum(actual_shipping_days) filter (counted), count(actual_shipping_days) filter (counted)
        ) as avg_shipping_days,
        count(*) filter (counted and late_delivery_risk) as late_deliveries,
        count(distinct customer_id) filter (counted) as unique_customers,
        min(order_day) filter (counted) as first_order_date,
        max(order_day) filter (counted) as last_order_date,
        count(distinct order_id) filter (counted and customer_segment = 'Consumer') as consumer_orders,
        count(distinct order_id) filter (counted and customer_segment = 'Corporate') as corporate_orders,
        count(distinct order_id) filter (counted and customer_segment = 'Home Office') as home_office_orders,
        count(distinct order_id) filter (order_status in ('COMPLETE', 'CLOSED')) as completed_orders,
        count(distinct order_id) filter (order_status = 'CANCELED') as canceled_orders,
        count(distinct order_id) filter (order_status = 'SUSPECTED_FRAUD') as fraud_orders,
        count(distinct order_id) filter (
            order_status in ('PENDING', 'PENDING_PAYMENT', 'PROCESSING', 'ON_HOLD', 'PAYMENT_REVIEW')
        ) as pending_orders,
        sum(quantity) filter (counted and order_day >= as_of() - 90 and order_day < as_of()) as recent_units
    from items
    group by product_id
),
measures as (
    select
        product_id,
        products.product_name,
        products.category_name,
        products.product_price,
        products.is_notavailable,
        coalesce(total_orders, 0) as total_orders,
        coalesce(units_sold, 0)::bigint as units_sold,
        coalesce(total_revenue, 0)::decimal(18, 2) as total_revenue,
        coalesce(total_profit, 0)::decimal(18, 2) as total_profit,
        rate(total_profit, total_revenue) as profit_margin,
        money(total_revenue, total_orders) as avg_order_value,
        money(total_profit, total_orders) as avg_profit_per_order,
        avg_discount_rate,
        avg_profit_ratio,
        avg_price_charged,
        avg_order_cycle_days,
        avg_shipping_days,
        coalesce(late_deliveries, 0) as late_deliveries,
        coalesce(unique_customers, 0) as unique_customers,
        first_order_date,
        last_order_date,
        (last_order_date - first_order_date)::integer as days_in_catalog,
        coalesce(consumer_orders, 0) as consumer_orders,
        coalesce(corporate_orders, 0) as corporate_orders,
        coalesce(home_office_orders, 0) as home_office_orders,
        coalesce(completed_orders, 0) as completed_orders,
        coalesce(canceled_orders, 0) as canceled_orders,
        coalesce(fraud_orders, 0) as fraud_orders,
        coalesce(pending_orders, 0) as pending_orders,
        rate(completed_orders, settled_orders) as order_completion_rate,
        rate(canceled_orders, settled_orders) as order_cancellation_rate,
        rate(fraud_orders, settled_orders) as order_fraud_rate,
        rate(pending_orders, settled_orders + pending_orders) as order_pending_rate,
        coalesce(recent_units, 0) as recent_units
    from silver.dim_products as products
    left join (select *, completed_orders + canceled_orders + fraud_orders as settled_orders from sold)
        using (product_id)
    where is_current
),
thresholds as (
    select
        quantile_disc(total_revenue, [0.2, 0.4, 0.6, 0.8]) as revenue,
        quantile_disc(profit_margin, [0.25, 0.5, 0.75]) as margin
    from measures
    where total_orders > 0
),
scored as (
    select
        measures.*,
        case when total_orders > 0 then 1 + below(total_revenue, revenue) else 1 end as revenue_score,
        case
            when total_orders > 0 and profit_margin is not null then 1 + below(profit_margin, margin) else 1
        end as margin_score
    from measures, thresholds
),
judged as (
    select
        *,
        case
            when revenue_score >= 4 then 'Star'
            when revenue_score = 3 then 'Strong'
            when revenue_score = 2 then 'Steady'
            when recent_units > 0 then 'Weak'
            else 'Slow Movers'
        end as performance_tier,
        case margin_score when 4 then 'High' when 3 then 'Medium' when 2 then 'Low' else 'Very Low' end
            as margin_category
    from scored
)
select
    * exclude (recent_units),
    case
        when
            performance_tier in ('Star', 'Strong')
            and order_completion_rate >= 0.90
            and order_cancellation_rate < 0.05 then 'Healthy'
        when order_cancellation_rate > 0.10 or order_fraud_rate > 0.05 or order_completion_rate < 0.80 then 'At Risk'
        else 'Monitor'
    end as product_health,
    case
        when performance_tier = 'Star' and margin_category = 'High' then 'Invest & Promote'
        when order_cancellation_rate > 0.15 or order_fraud_rate > 0.10 then 'Investigate Quality Issues'
        when
            performance_tier = 'Slow Movers'
            and (margin_category in ('Low', 'Very Low') or order_cancellation_rate > 0.10)
            then 'Consider Discontinuing'
        when performance_tier in ('Strong', 'Steady') and margin_category = 'High' then 'Growth Opportunity'
        else 'Maintain'
    end as strategic_priority
from judged;
