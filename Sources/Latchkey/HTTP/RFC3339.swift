/// Instants in our own bodies and logs: RFC 3339 in UTC, by integers alone.
package enum RFC3339 {
    /// `microseconds` since 1970-01-01T00:00:00Z as `2026-11-22T17:40:00Z`, with a fraction of six digits where there
    /// is one. Years 0 to 9999; what lies beyond is written as the nearest of these.
    package static func text(microseconds: Int64) -> String {
        let instant = min(max(microseconds, earliest), latest)
        let fraction = instant.remainder(modulo: 1_000_000)
        let seconds = (instant - fraction) / 1_000_000
        let ofDay = seconds.remainder(modulo: 86_400)
        let date = civil(day: (seconds - ofDay) / 86_400)

        var text = [UInt8]()
        text.reserveCapacity(27)
        func append(_ value: Int64, digits: Int) {
            var divisor = (1..<digits).reduce(Int64(1)) { power, _ in power * 10 }
            while divisor > 0 {
                text.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
                divisor /= 10
            }
        }
        append(date.year, digits: 4)
        text.append(UInt8(ascii: "-"))
        append(date.month, digits: 2)
        text.append(UInt8(ascii: "-"))
        append(date.day, digits: 2)
        text.append(UInt8(ascii: "T"))
        append(ofDay / 3_600, digits: 2)
        text.append(UInt8(ascii: ":"))
        append(ofDay / 60 % 60, digits: 2)
        text.append(UInt8(ascii: ":"))
        append(ofDay % 60, digits: 2)
        if fraction != 0 {
            text.append(UInt8(ascii: "."))
            append(fraction, digits: 6)
        }
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    private static let earliest: Int64 = -62_167_219_200_000_000
    private static let latest: Int64 = 253_402_300_799_999_999

    /// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years are counted from March,
    /// so that the leap day is a year's last: the arithmetic of Howard Hinnant's `civil_from_days`.
    private static func civil(day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let sinceMarchOfYear0 = day + 719_468
        let ofEra = sinceMarchOfYear0.remainder(modulo: 146_097)
        let era = (sinceMarchOfYear0 - ofEra) / 146_097
        // Days of the era without its leap days, in whole years of 365.
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * ofYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (
            year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month: month,
            day: ofYear - (153 * marchMonth + 2) / 5 + 1
        )
    }
}

extension Int64 {
    /// The remainder that is never negative.
    fileprivate func remainder(modulo divisor: Int64) -> Int64 {
        let remainder = self % divisor
        return remainder < 0 ? remainder + divisor : remainder
    }
}
