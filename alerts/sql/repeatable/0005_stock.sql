-- What the stock room publishes, or nothing while there is none: the contract stands in alerts/stock_watch.py.
CREATE OR REPLACE FUNCTION alerts.stock_levels()
RETURNS TABLE (
    site_id bigint, item text, item_zh text, item_en text, quantity double precision, unit text,
    minimum double precision, reserve double precision, expires_at timestamptz
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF to_regclass('stock.level_v') IS NOT NULL THEN
        RETURN QUERY EXECUTE
            'SELECT site_id::bigint, item::text, item_zh::text, item_en::text, quantity::double precision, unit::text,'
            ' minimum::double precision, reserve::double precision, expires_at::timestamptz FROM stock.level_v';
    END IF;
END
$$;
COMMENT ON FUNCTION alerts.stock_levels IS 'Levels by site and item as stock.level_v states them; none while there is no such view.';
